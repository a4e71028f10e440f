package embed

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// routeReports is how many tries to reach a lost server, one a second, make one line in the log.
const routeReports = 60

// Cluster says with which other servers this one forms a cluster. Its zero value is none.
//
// The servers of a cluster know each other by name: a server keeps its name for as long as its store lives. The store
// notes the name, and [Start] refuses another one.
type Cluster struct {
	Listen string   // HOST:PORT for the other servers
	Name   string   // the same on each
	Routes []string // of all servers, the own one too, so that the first to start know how many there will be; see [ParseRoutes]
}

func (c Cluster) isZero() bool { return c.Listen == "" && c.Name == "" && len(c.Routes) == 0 }

// Open reports whether any server that reaches the address may join: routes without user and password.
func (c Cluster) Open() bool {
	routes, err := ParseRoutes(c.Routes)
	return err == nil && len(routes) > 0 && routes[0].User == nil
}

// Beyond reports whether the cluster listens on more than the loopback interface.
func (c Cluster) Beyond() bool {
	host, _, err := splitAddr(c.Listen)
	ip := net.ParseIP(host)
	return err == nil && host != "localhost" && (ip == nil || !ip.IsLoopback())
}

// ParseRoutes reads routes, each HOST:PORT or a URL. The user and password in them, the same in all or in none, are
// sent to the other servers, and asked of those that connect to this one. Errors repeat no password.
func ParseRoutes(routes []string) ([]*url.URL, error) {
	urls := make([]*url.URL, 0, len(routes))
	for _, text := range routes {
		u, err := parseRoute(strings.TrimSpace(text))
		if err != nil {
			return nil, err
		}
		urls = append(urls, u)
	}
	for _, u := range urls {
		if first := urls[0]; u.User.String() != first.User.String() {
			return nil, fmt.Errorf("want the same user and password in all routes: those of %s and %s differ", first.Host, u.Host)
		}
	}
	return urls, nil
}

func parseRoute(text string) (*url.URL, error) {
	host := text[strings.LastIndex(text, "@")+1:]
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	u, err := url.Parse(text)
	if bad := (*url.Error)(nil); errors.As(err, &bad) {
		return nil, fmt.Errorf("want nats://HOST:PORT, got %q: %w", host, bad.Err)
	}
	if _, port, err := splitAddr(u.Host); err != nil || u.Hostname() == "" || port < 1 {
		return nil, fmt.Errorf("want nats://HOST:PORT, got %q", u.Redacted())
	}
	if password, _ := u.User.Password(); u.User != nil && (u.User.Username() == "" || password == "") {
		return nil, fmt.Errorf("want nats://USER:PASSWORD@HOST:PORT, got %q", "nats://…@"+u.Host)
	}
	return u, nil
}

func (c Cluster) apply(o *server.Options) error {
	if c.isZero() {
		return nil
	}
	if c.Listen == "" || c.Name == "" || len(c.Routes) == 0 {
		return fmt.Errorf("cluster: an address to listen on, a name and routes are needed")
	}
	if o.DontListen {
		return fmt.Errorf("cluster: the server needs an address for clients, too")
	}
	if strings.ContainsAny(c.Name, " \t\r\n") {
		return fmt.Errorf("cluster name %q: want no spaces", c.Name)
	}
	host, port, err := splitAddr(c.Listen)
	if err != nil {
		return fmt.Errorf("cluster address: %w", err)
	}
	routes, err := ParseRoutes(c.Routes)
	if err != nil {
		return fmt.Errorf("cluster routes: %w", err)
	}
	o.Routes = routes
	o.Cluster = server.ClusterOpts{Name: c.Name, Host: host, Port: port}
	if user := routes[0].User; user != nil {
		o.Cluster.Username = user.Username()
		o.Cluster.Password, _ = user.Password()
	}
	return nil
}
