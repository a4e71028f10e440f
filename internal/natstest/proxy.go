package natstest

import (
	"net"
	"sync"
	"testing"
)

// Proxy is a TCP path to a server that a test can break, for clients and servers of other processes.
//
//	whole ── Stall ──▶ stalled: nothing arrives, nobody is told, and what is on its way arrives after Mend
//	whole ── Reset ──▶ reset: connections are reset, also new ones
//	either ── Mend ──▶ whole
type Proxy struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex
	open  chan struct{} // closed unless stalled
	reset bool
	conns map[net.Conn]bool
}

// NewProxy returns a whole path to a TCP address, which ends with the test. Nobody has to listen there yet.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("listen: %v", err)
	}
	p := &Proxy{target: target, listener: l, open: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.open)
	p.wg.Go(p.accept)
	tb.Cleanup(func() {
		_ = l.Close()
		p.Reset()
		p.wg.Wait()
	})
	return p
}

// Addr is where the path begins, as HOST:PORT.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Stall holds everything back until [Proxy.Mend], as a network does that loses every packet.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

// Reset resets all connections, and new ones until [Proxy.Mend].
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reset = true
	for c := range p.conns {
		hangUp(c)
	}
	p.flow()
}

// Mend makes the path whole.
func (p *Proxy) Mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reset = false
	p.flow()
}

// flow ends a stall. The caller holds the lock.
func (p *Proxy) flow() {
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.connect(c) })
	}
}

// connect joins what was accepted to the target, until one of the two ends.
func (p *Proxy) connect(near net.Conn) {
	defer p.forget(near)
	if !p.keep(near) {
		return
	}
	p.pass()
	far, err := net.Dial("tcp", p.target) //nolint:noctx // a refusal comes at once on one machine
	if err != nil {
		return
	}
	defer p.forget(far)
	if !p.keep(far) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { p.copy(near, far) })
	p.copy(far, near)
	back.Wait()
}

// keep remembers a connection, so that it can be reset; false: it is to be reset now.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return !p.reset
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	hangUp(c)
}

// pass waits while the path is stalled.
func (p *Proxy) pass() {
	p.mu.Lock()
	open := p.open
	p.mu.Unlock()
	<-open
}

func (p *Proxy) copy(to, from net.Conn) {
	defer hangUp(to)
	defer hangUp(from)
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.pass()
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// hangUp resets a connection: nothing that is on its way arrives any more.
func hangUp(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
