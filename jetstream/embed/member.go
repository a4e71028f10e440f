package embed

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// memberFile is the file in the store directory that says whose it is: a server's of a cluster. A server's that is
// alone has none.
const memberFile = "perdure.member"

// member is a server of a cluster. Under another name the cluster would take its server for a new one and wait for the
// old one forever; outside of its cluster its part of the streams would go its own way; and a cluster that a server
// which was alone joins deletes that server's streams, because it did not make them.
type member struct {
	Server  string `json:"server"`
	Cluster string `json:"cluster"`
}

// claimStore makes sure that the store is this server's, and notes that it is.
func claimStore(cfg Config) error {
	path := filepath.Join(cfg.Store, memberFile)
	value, err := os.ReadFile(path) //nolint:gosec // the operator chooses the directory
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open store: %w", err)
	}
	want, clustered := member{cfg.ServerName, cfg.Cluster.Name}, !cfg.Cluster.isZero()
	if noted := err == nil; noted {
		var have member
		if err := json.Unmarshal(value, &have); err != nil {
			return fmt.Errorf("open store: %s: %w", path, err)
		}
		switch {
		case !clustered:
			return fmt.Errorf("%w: %s is of server %s in cluster %s: start it in its cluster", ErrOtherStore, cfg.Store, have.Server, have.Cluster)
		case have != want:
			return fmt.Errorf("%w: %s is of server %s in cluster %s, and this is %s in cluster %s: names last as long as the store",
				ErrOtherStore, cfg.Store, have.Server, have.Cluster, want.Server, want.Cluster)
		}
		return nil
	}
	if !clustered {
		return nil
	}
	if alone(cfg.Store) {
		return fmt.Errorf("%w: %s is of a server that was alone, and a cluster would delete its streams: give the cluster a new store",
			ErrOtherStore, cfg.Store)
	}
	value, err = json.Marshal(want)
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	if err := os.WriteFile(path+".new", append(value, '\n'), 0o600); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	return nil
}

// alone reports whether a store has streams that no cluster made.
func alone(dir string) bool {
	streams, _ := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "*"))
	meta, _ := filepath.Glob(filepath.Join(dir, "jetstream", "*", "_js_", "_meta_"))
	return len(streams) > 0 && len(meta) == 0
}
