package natstest

import (
	"errors"
	"net"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// errCut is what dialling over a cut wire gives.
var errCut = errors.New("the wire is cut")

// Wire is the path of one connection to a server. Give it to nats.InProcessServer.
//
//	whole ── Cut ──▶ cut (connection closed, no new one) ── Mend ──▶ whole
//	whole ── Mute ─▶ muted (requests arrive, answers are lost) ── Cut ──▶ cut
//	whole ── Lose ─▶ losing (requests are lost) ── Mend ──▶ whole
type Wire struct {
	server *server.Server

	mu    sync.Mutex
	cut   bool
	muted bool
	lost  bool
	conns []net.Conn
}

// NewWire returns a whole wire to s.
func NewWire(s *server.Server) *Wire { return &Wire{server: s} }

// InProcessConn dials over the wire.
func (w *Wire) InProcessConn() (net.Conn, error) {
	w.mu.Lock()
	s, cut := w.server, w.cut
	w.mu.Unlock()
	if cut {
		return nil, errCut
	}
	c, err := s.InProcessConn()
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.conns = append(w.conns, c)
	return &wireConn{Conn: c, wire: w}, nil
}

// Cut closes the connection and refuses new ones until [Wire.Mend].
func (w *Wire) Cut() {
	w.mu.Lock()
	w.cut = true
	conns := w.conns
	w.conns = nil
	w.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
	}
}

// Mute loses what the server sends, from now on, while what the client sends still arrives.
func (w *Wire) Mute() { w.set(func() { w.muted = true }) }

// Lose loses what the client sends, from now on. The connection stays.
func (w *Wire) Lose() { w.set(func() { w.lost = true }) }

// Mend makes the wire whole. After Mute that is right only where no message is half lost: on an idle connection.
func (w *Wire) Mend() { w.set(func() { w.cut, w.muted, w.lost = false, false, false }) }

// Reroute leads new connections to another server.
func (w *Wire) Reroute(s *server.Server) { w.set(func() { w.server = s }) }

func (w *Wire) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

type wireConn struct {
	net.Conn
	wire *Wire
}

func (c *wireConn) Read(b []byte) (int, error) {
	for {
		n, err := c.Conn.Read(b)
		c.wire.mu.Lock()
		muted := c.wire.muted
		c.wire.mu.Unlock()
		if err != nil || !muted {
			return n, err
		}
	}
}

func (c *wireConn) Write(b []byte) (int, error) {
	c.wire.mu.Lock()
	lost := c.wire.lost
	c.wire.mu.Unlock()
	if lost {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
