package pypeer

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// NewProxy starts an HTTP proxy for CONNECT (RFC 9110 §9.3.6) and returns its URL.
// routes maps what may be asked for to the address really dialled, as in
// "localhost:443" to "127.0.0.1:40123"; anything else is refused with 403, so that
// no test leaves the machine. The proxy ends with the test.
func NewProxy(t testing.TB, routes map[string]string) string {
	t.Helper()
	p := &proxy{routes: routes, open: make(map[net.Conn]struct{})}
	server := httptest.NewServer(p)
	t.Cleanup(func() {
		server.Close()
		p.shut()
	})
	return server.URL
}

// proxy joins pairs of connections.
type proxy struct {
	routes map[string]string
	tunnel sync.WaitGroup

	mu   sync.Mutex
	done bool
	open map[net.Conn]struct{}
}

// ServeHTTP opens one tunnel and returns when both directions have ended.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	address, ok := p.routes[r.Host]
	if r.Method != http.MethodConnect || !ok {
		http.Error(w, "no such route: "+r.Host, http.StatusForbidden)
		return
	}
	var dialer net.Dialer
	upstream, err := dialer.DialContext(r.Context(), "tcp", address)
	if err != nil {
		http.Error(w, "target does not answer", http.StatusBadGateway)
		return
	}
	defer upstream.Close()
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "cannot tunnel", http.StatusInternalServerError)
		return
	}
	defer client.Close()
	if !p.track(client, upstream) {
		return
	}
	defer p.forget(client, upstream)
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { pipe(client, upstream) })
	// The HTTP server may have read ahead.
	pipe(upstream, buffered.Reader)
	back.Wait()
}

// pipe copies until the source ends, then ends the target's input, so that the
// other direction can finish what it was sending.
func pipe(to net.Conn, from io.Reader) {
	_, err := io.Copy(to, from)
	if half, ok := to.(*net.TCPConn); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
}

func (p *proxy) track(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		return false
	}
	p.tunnel.Add(1)
	for _, c := range conns {
		p.open[c] = struct{}{}
	}
	return true
}

func (p *proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.open, c)
	}
	p.tunnel.Done()
}

// shut ends every tunnel: httptest forgets connections once they are hijacked.
func (p *proxy) shut() {
	p.mu.Lock()
	p.done = true
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.tunnel.Wait()
}
