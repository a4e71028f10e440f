package perdure

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/perdure/perdure/jetstream"
	"github.com/perdure/perdure/jetstream/embed"
	"github.com/perdure/perdure/router"
)

// What a store can be made with.
const (
	maxPartitions = 4096
	maxLogStreams = 64
)

// given are the flags that the user set, by name, each with the environment variable that it came from, if any.
type given map[string]string

// givenIn looks at a command line that was read, as far as it was.
func givenIn(ctx *kong.Context) given {
	g := given{}
	for _, flag := range ctx.Model.Flags {
		for _, env := range flag.Tag.Envs {
			if os.Getenv(env) != "" {
				g[flag.Name] = env
			}
		}
	}
	for _, p := range ctx.Path {
		if p.Flag != nil {
			g[p.Flag.Name] = ""
		}
	}
	return g
}

// first returns the first of the flags that was set, or nothing.
func (g given) first(flags ...string) string {
	for _, flag := range flags {
		if g.has(flag) {
			return flag
		}
	}
	return ""
}

func (g given) has(flag string) bool {
	_, ok := g[flag]
	return ok
}

// wrong says what is wrong with a flag, and where it came from.
func (g given) wrong(flag, format string, args ...any) error {
	return g.located(fmt.Errorf("--"+flag+": "+format, args...))
}

// located adds to an error that begins with a flag the environment variable that the flag came from.
func (g given) located(err error) error {
	name, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "--"), " ")
	env := g[strings.TrimSuffix(name, ":")]
	if env == "" || strings.Contains(err.Error(), env) {
		return err
	}
	return fmt.Errorf("%w (from %s)", err, env)
}

// forgetEmpty makes environment variables that are set to nothing as good as not set.
func forgetEmpty(k *kong.Kong) error {
	for _, flag := range k.Model.Flags {
		for _, env := range flag.Tag.Envs {
			if value, set := os.LookupEnv(env); set && value == "" {
				flag.Tag.Envs = nil
			}
		}
	}
	return nil
}

// check refuses values that no default mends, and flags that would have no effect.
func (f *flags) check(g given) error {
	for _, check := range []func(given) error{f.checkServers, f.checkNames, f.checkNumbers, f.checkFiles} {
		if err := check(g); err != nil {
			return err
		}
	}
	return nil
}

// checkServers looks at which server the node works with, and at flags of the other kind. Somebody who gives a password
// must not get an embedded server that asks for none.
func (f *flags) checkServers(g given) error {
	if !g.has("nats") {
		if flag := g.first("user", "password", "token", "creds", "nkey", "tls-ca", "tls-cert", "tls-key"); flag != "" {
			return g.wrong(flag, "belongs to --nats; the embedded server takes everybody who reaches it")
		}
		return f.checkEmbedded(g)
	}
	if flag := g.first("listen", "store", "sync", "cluster-listen", "cluster-name", "routes"); flag != "" {
		return g.wrong(flag, "belongs to the embedded server, and with --nats there is none")
	}
	if len(f.NATS) == 0 {
		return g.wrong("nats", "want a URL")
	}
	for _, text := range f.NATS {
		if err := checkURL(strings.TrimSpace(text)); err != nil {
			return g.wrong("nats", "%w", err)
		}
	}
	if f.Password != "" && f.User == "" {
		return g.wrong("password", "goes with --user")
	}
	return nil
}

// checkEmbedded looks at the embedded server's addresses. What is said about a cluster means one.
func (f *flags) checkEmbedded(g given) error {
	if err := checkAddress(f.Listen); err != nil {
		return g.wrong("listen", "%w", err)
	}
	if f.ClusterListen == "" {
		if flag := g.first("cluster-name", "routes"); flag != "" {
			return g.wrong(flag, "goes with --cluster-listen")
		}
		return nil
	}
	if err := checkAddress(f.ClusterListen); err != nil {
		return g.wrong("cluster-listen", "%w", err)
	}
	if strings.ContainsAny(f.ClusterName, " \t\r\n") {
		return g.wrong("cluster-name", "want a name without spaces, got %q", f.ClusterName)
	}
	if len(f.Routes) == 0 {
		return g.wrong("cluster-listen", "goes with --routes, the cluster addresses of all nodes")
	}
	if _, err := embed.ParseRoutes(f.Routes); err != nil {
		return g.wrong("routes", "%w", err)
	}
	return nil
}

func checkAddress(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("want HOST:PORT, got %q", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("want a port from 0 to 65535, got %q", address)
	}
	return nil
}

// checkURL refuses what no server can be reached by. It repeats no password.
func checkURL(text string) error {
	full := text
	if !strings.Contains(full, "://") {
		full = "nats://" + full
	}
	u, err := url.Parse(full)
	if bad := (*url.Error)(nil); errors.As(err, &bad) {
		return fmt.Errorf("want nats://HOST:PORT, got %q: %w", text[strings.LastIndex(text, "@")+1:], bad.Err)
	}
	port, err := strconv.Atoi(u.Port())
	if u.Hostname() == "" || u.Port() != "" && (err != nil || port < 1 || port > 65535) {
		return fmt.Errorf("want nats://HOST:PORT, got %q", u.Redacted())
	}
	return nil
}

func (f *flags) checkNames(g given) error {
	if _, err := jetstream.NewNames(f.Prefix); err != nil {
		return g.wrong("prefix", "%w", err)
	}
	if _, err := router.New(router.Config{Node: f.Name, Partitions: 1}); f.Name != "" && err != nil {
		return g.wrong("name", "%w", err)
	}
	for _, p := range f.ReplyPrefix {
		if _, err := jetstream.NewReplySubjects(p); err != nil {
			return g.wrong("reply-prefix", "want a subject without wildcards that does not begin with $, got %q", p)
		}
	}
	return nil
}

func (f *flags) checkNumbers(g given) error {
	switch {
	case f.LeaseTTL < time.Second:
		return g.wrong("lease-ttl", "want at least 1s, got %s", f.LeaseTTL)
	case f.Idle <= 0:
		return g.wrong("idle", "want more than 0, got %s", f.Idle)
	case f.MaxResident <= 0:
		return g.wrong("max-resident", "want at least 1, got %d", f.MaxResident)
	case f.MaxBytes <= 0:
		return g.wrong("max-resident-bytes", "want at least 1, got %d", f.MaxBytes)
	case f.Replicas < 0 || f.Replicas > 5:
		return g.wrong("replicas", "want 1 to 5, or 0 for the default, got %d", f.Replicas)
	case f.Replicas > 1 && !g.has("nats") && f.ClusterListen == "":
		return g.wrong("replicas", "the embedded server is alone; give it others with --cluster-listen, or name external servers with --nats")
	case g.has("partitions") && (f.Partitions < 1 || f.Partitions > maxPartitions):
		return g.wrong("partitions", "want 1 to %d, got %d", maxPartitions, f.Partitions)
	case g.has("log-streams") && (f.LogStreams < 1 || f.LogStreams > maxLogStreams):
		return g.wrong("log-streams", "want 1 to %d, got %d", maxLogStreams, f.LogStreams)
	}
	return nil
}

func (f *flags) checkFiles(g given) error {
	for _, file := range []struct{ flag, path string }{
		{"creds", f.Creds}, {"nkey", f.NKey}, {"tls-ca", f.TLSCA}, {"tls-cert", f.TLSCert}, {"tls-key", f.TLSKey},
	} {
		if file.path == "" {
			continue
		}
		if _, err := os.ReadFile(file.path); err != nil {
			return g.wrong(file.flag, "%w", err)
		}
	}
	switch {
	case f.TLSCert != "" && f.TLSKey == "":
		return g.wrong("tls-cert", "goes with --tls-key")
	case f.TLSKey != "" && f.TLSCert == "":
		return g.wrong("tls-key", "goes with --tls-cert")
	}
	return nil
}
