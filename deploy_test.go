package perdure

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/perdure/perdure/router"
)

// manifest is what the test looks at in a Kubernetes object.
type manifest struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		ServiceName string    `yaml:"serviceName"`
		Selector    yaml.Node // matchLabels, or in a Service the labels themselves
		Ports       []struct {
			Port       int
			TargetPort string `yaml:"targetPort"`
		}
		Template             podTemplate
		VolumeClaimTemplates []named[struct{}] `yaml:"volumeClaimTemplates"`
	}
}

type named[T any] struct{ Metadata struct{ Name string } }

type podTemplate struct {
	Metadata struct{ Labels map[string]string }
	Spec     struct {
		Grace      int `yaml:"terminationGracePeriodSeconds"`
		Containers []container
		Volumes    []struct{ Name string }
	}
}

type container struct {
	Args []string
	Env  []struct {
		Name, Value string
		ValueFrom   map[string]any `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

// leaving is what a node may take from SIGTERM to its end: the leave timeout twice, and what does not heed it.
const leaving = 2*router.DefaultLeaveTimeout + 10*time.Second

func TestDeploy_kubernetes(t *testing.T) {
	files, err := filepath.Glob("deploy/kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(err, len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			all := manifests(t, file)
			i := slices.IndexFunc(all, func(m manifest) bool { return len(m.Spec.Template.Spec.Containers) > 0 })
			if i < 0 {
				t.Fatal("nothing has a container")
			}
			pods, node := all[i].Spec.Template, all[i].Spec.Template.Spec.Containers[0]
			for _, m := range all {
				checkManifest(t, m, pods, node)
			}
			if grace := time.Duration(pods.Spec.Grace) * time.Second; grace < leaving {
				t.Errorf("it is killed after %s, and leaving takes up to %s", grace, leaving)
			}
			checkMounts(t, all[i], node)
			f := parseContainer(t, node)
			ports := map[string]bool{}
			for _, p := range node.Ports {
				ports[strconv.Itoa(p.ContainerPort)] = true
			}
			want := map[string]bool{}
			if len(f.NATS) == 0 {
				want = map[string]bool{portOf(f.Listen): true, portOf(f.ClusterListen): true}
				checkRoutes(t, all[i], f)
			}
			if !maps.Equal(ports, want) {
				t.Errorf("the container has ports %v, the flags %v", ports, want)
			}
		})
	}
}

func checkManifest(t *testing.T, m manifest, pods podTemplate, node container) {
	t.Helper()
	var set struct {
		MatchLabels map[string]string `yaml:"matchLabels"`
	}
	if err := m.Spec.Selector.Decode(&set); err != nil {
		t.Errorf("%s: selector: %v", m.Kind, err)
	}
	labels := set.MatchLabels
	if m.Kind == "Service" {
		if err := m.Spec.Selector.Decode(&labels); err != nil {
			t.Errorf("%s: selector: %v", m.Kind, err)
		}
	}
	if len(labels) == 0 || !maps.Equal(labels, pods.Metadata.Labels) {
		t.Errorf("%s selects %v, pods have %v", m.Kind, labels, pods.Metadata.Labels)
	}
	for _, p := range m.Spec.Ports {
		i := slices.IndexFunc(node.Ports, func(c struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		},
		) bool {
			return c.Name == p.TargetPort
		})
		if i < 0 || node.Ports[i].ContainerPort != p.Port {
			t.Errorf("%s has port %d to %s, the container %v", m.Kind, p.Port, p.TargetPort, node.Ports)
		}
	}
}

func checkMounts(t *testing.T, m manifest, node container) {
	t.Helper()
	volumes := map[string]bool{}
	for _, v := range m.Spec.Template.Spec.Volumes {
		volumes[v.Name] = true
	}
	for _, v := range m.Spec.VolumeClaimTemplates {
		volumes[v.Metadata.Name] = true
	}
	for _, mount := range node.VolumeMounts {
		if !volumes[mount.Name] {
			t.Errorf("volume %s is mounted, and there are %v", mount.Name, volumes)
		}
	}
}

// checkRoutes checks that each pod of the set is among the routes, by its name below the service's.
func checkRoutes(t *testing.T, m manifest, f flags) {
	t.Helper()
	for i, route := range f.Routes {
		want := "@" + m.Metadata.Name + "-" + strconv.Itoa(i) + "." + m.Spec.ServiceName + ":" + portOf(f.ClusterListen)
		if !strings.HasSuffix(route, want) {
			t.Errorf("route %d does not end in %s", i, want)
		}
	}
	if len(f.Routes) != 3 || f.Replicas != 3 {
		t.Errorf("%d routes, %d replicas", len(f.Routes), f.Replicas)
	}
}

// parseContainer reads a container's arguments as the program does, with its environment and its files.
func parseContainer(t *testing.T, c container) flags {
	t.Helper()
	var expand []string
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil {
			value = "from-elsewhere"
		}
		value = strings.NewReplacer(expand...).Replace(value)
		expand = append(expand, "$("+e.Name+")", value)
		t.Setenv(e.Name, value)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, arg := range c.Args {
		arg = strings.NewReplacer(expand...).Replace(arg)
		if strings.Contains(arg, "$(") {
			t.Errorf("%s: no such variable", arg)
		}
		for _, m := range c.VolumeMounts {
			if flag, path, _ := strings.Cut(arg, "="); flag != "--store" && strings.HasPrefix(path, m.MountPath+"/") {
				arg = flag + "=" + secret
			}
		}
		args = append(args, arg)
	}
	f, err := parseFlags("node", args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if none := f.notBuilt(); len(none) > 0 {
		t.Errorf("flags without effect: %q", none)
	}
	return f
}

func manifests(t *testing.T, file string) (all []manifest) {
	t.Helper()
	text, err := os.ReadFile(file) //nolint:gosec // one of ours
	if err != nil {
		t.Fatal(err)
	}
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var m manifest
		switch err := d.Decode(&m); {
		case errors.Is(err, io.EOF):
			return all
		case err != nil:
			t.Fatal(err)
		}
		all = append(all, m)
	}
}

func portOf(address string) string { return address[strings.LastIndex(address, ":")+1:] }

// TestDeploy_systemd: a node is not killed while it hands over.
func TestDeploy_systemd(t *testing.T) {
	text, err := os.ReadFile("deploy/systemd/perdure.service")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)$`).FindSubmatch(text)
	if m == nil {
		t.Fatal("no TimeoutStopSec")
	}
	if seconds, err := strconv.Atoi(string(m[1])); err != nil || time.Duration(seconds)*time.Second < leaving {
		t.Errorf("it is killed after %s s, and leaving takes up to %s", m[1], leaving)
	}
}
