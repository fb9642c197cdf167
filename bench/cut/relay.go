package cut

import (
	"context"
	"io"
	"net"
	"sync"
)

// relay passes bytes between who connects to it and the address that was
// dialled, until it is told to cut.
type relay struct {
	mu    sync.Mutex
	pairs map[*pair]struct{}
	wg    sync.WaitGroup
}

// pair is the relay's two ends of one connection.
type pair struct{ near, far *net.TCPConn }

// dial connects to address by way of the relay. What it returns is a real
// connection of this host, so that a cut arrives as it would from a network.
func (r *relay) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	far, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		_ = far.Close()
		return nil, err
	}
	defer ln.Close()
	client, err := d.DialContext(ctx, "tcp", ln.Addr().String())
	if err != nil {
		_ = far.Close()
		return nil, err
	}
	near, err := ln.Accept()
	if err != nil {
		_ = far.Close()
		_ = client.Close()
		return nil, err
	}
	r.carry(&pair{near.(*net.TCPConn), far.(*net.TCPConn)})
	return client, nil
}

// carry copies in both directions until the pair is cut or one end closes.
func (r *relay) carry(p *pair) {
	r.mu.Lock()
	if r.pairs == nil {
		r.pairs = make(map[*pair]struct{})
	}
	r.pairs[p] = struct{}{}
	r.mu.Unlock()
	end := func(to, from *net.TCPConn) {
		_, _ = io.Copy(to, from)
		r.mu.Lock()
		delete(r.pairs, p)
		r.mu.Unlock()
		_ = p.near.Close()
		_ = p.far.Close()
	}
	r.wg.Go(func() { end(p.near, p.far) })
	r.wg.Go(func() { end(p.far, p.near) })
}

// cut resets all connections, in both directions: both ends get a RST (RFC
// 9293 §3.5.2) and no FIN. It returns how many there were.
func (r *relay) cut() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		for _, c := range []*net.TCPConn{p.near, p.far} {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
	n := len(r.pairs)
	clear(r.pairs)
	return n
}

// stop cuts, and waits until nothing is carried any more.
func (r *relay) stop() {
	r.cut()
	r.wg.Wait()
}
