package system

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// wayIn lets programs find the identity registry at https://localhost, without a
// port: the unmodified Python SDK writes a port twice. It is an HTTP proxy for
// CONNECT (RFC 9110 §9.3.6) that leads to this one place.
type wayIn struct {
	url    string
	server *http.Server
	ended  chan struct{}
	stop   context.CancelFunc
	joined sync.WaitGroup
}

// openWayIn leads to the registry at a URL.
func openWayIn(ctx context.Context, registry string) (*wayIn, error) {
	u, err := url.Parse(registry)
	if err != nil {
		return nil, err
	}
	target := net.JoinHostPort(u.Hostname(), cmpPort(u, "443"))
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	p := &wayIn{url: "http://" + ln.Addr().String(), ended: make(chan struct{}), stop: stop}
	p.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { p.serve(running, w, r, target) })}
	go func() {
		defer close(p.ended)
		_ = p.server.Serve(ln)
	}()
	return p, nil
}

// close ends the tunnels and waits for them.
func (p *wayIn) close() {
	if p == nil {
		return
	}
	p.stop()
	_ = p.server.Close()
	<-p.ended
	p.joined.Wait()
}

func (p *wayIn) serve(ctx context.Context, w http.ResponseWriter, r *http.Request, target string) {
	if r.Method != http.MethodConnect || r.Host != "localhost:443" {
		http.Error(w, "this proxy leads to localhost:443 only", http.StatusForbidden)
		return
	}
	p.joined.Add(1)
	defer p.joined.Done()
	there, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		http.Error(w, "the identity registry does not answer", http.StatusBadGateway)
		return
	}
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = there.Close()
		return
	}
	both := func() { _, _ = there.Close(), here.Close() }
	defer both()
	defer context.AfterFunc(ctx, both)()
	if _, err := io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(here, there)
		both()
	})
	_, _ = io.Copy(there, buffered.Reader) // net/http may have read ahead
	both()
	back.Wait()
}
