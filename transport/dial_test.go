package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/transport/memnet"
)

func TestRefusalTellsStatusHeaderAndTheStartOfTheBody(t *testing.T) {
	t.Parallel()
	var followed atomic.Bool
	mux := http.NewServeMux()
	mux.HandleFunc("/busy", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, strings.Repeat("b", 10000))
	})
	mux.Handle("/moved", http.RedirectHandler("/elsewhere", http.StatusFound))
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	mux.HandleFunc("/plain", func(http.ResponseWriter, *http.Request) {})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	base := "ws" + strings.TrimPrefix(srv.URL, "http")
	for path, status := range map[string]int{"/busy": 503, "/moved": 302, "/plain": 200, "/none": 404} {
		_, err := Dial(t.Context(), base+path, nil, nil)
		var refused *HandshakeError
		if !errors.As(err, &refused) || refused.StatusCode != status {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if path == "/busy" && (refused.Header.Get("Retry-After") != "7" || string(refused.Body) != strings.Repeat("b", 4096)) {
			t.Errorf("header %v, %d bytes of body", refused.Header, len(refused.Body))
		}
	}
	if followed.Load() {
		t.Error("a redirect was followed")
	}
}

func TestOnlyAbsoluteWebSocketURLsAreDialled(t *testing.T) {
	t.Parallel()
	o := &Options{Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialled")
		return nil, errors.New("dialled")
	}}
	for _, u := range []string{"", "http://x/", "https://x/", "ws:///path", "//x/", "ws://user:secret@x/", "ws://x/#fragment", "ws://%zz/secret"} {
		_, err := Dial(t.Context(), u, nil, o)
		if !errors.Is(err, ErrBadURL) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestDialSendsHeadersAndDefaultPorts(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	for u, want := range map[string]string{"ws://example.test/x": "example.test:80", "wss://example.test": "example.test:443",
		"ws://[::1]:9/": "[::1]:9"} {
		var got string
		_, err := Dial(t.Context(), u, nil, &Options{Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			got = addr
			return nil, stop
		}})
		if got != want || !errors.Is(err, ErrDial) || !errors.Is(err, stop) {
			t.Errorf("%s: dialled %q, %v", u, got, err)
		}
	}

	requests := make(chan *http.Request, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		w.Header().Set("X-Answer", "yes")
		if c, err := Accept(w, r, nil); err == nil {
			c.Abort(nil)
		}
	}))
	defer srv.Close()
	h := http.Header{"Authorization": {"Bearer t"}, "Dpop": {"p"}, "Host": {"other.test"}, "Connection": {"close"}}
	c, err := Dial(t.Context(), "ws"+strings.TrimPrefix(srv.URL, "http")+"/p?q=1", h, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Abort(nil)
	r := <-requests
	if r.Header.Get("Authorization") != "Bearer t" || r.Header.Get("DPoP") != "p" || r.Host != "other.test" || r.RequestURI != "/p?q=1" {
		t.Errorf("request %v %v %v", r.Host, r.RequestURI, r.Header)
	}
	if r.Header.Get("Sec-WebSocket-Extensions") != "" || h.Get("Upgrade") != "" {
		t.Errorf("extensions offered, or the caller's header changed: %v", h)
	}
}

// answer serves one connection with a fixed answer to the handshake.
func answer(t *testing.T, format string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-done })
	go func() {
		defer close(done)
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = nc.Close() }()
		r, err := http.ReadRequest(bufio.NewReader(nc))
		if err != nil {
			return
		}
		_, _ = io.WriteString(nc, strings.ReplaceAll(strings.ReplaceAll(format, "KEY", acceptKey(r.Header.Get("Sec-WebSocket-Key"))), "\n", "\r\n"))
	}()
	return "ws://" + l.Addr().String()
}

func TestWrongAnswersToTheHandshakeAreRefused(t *testing.T) {
	t.Parallel()
	const good = "HTTP/1.1 101 OK\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: KEY\n"
	for name, format := range map[string]string{
		"no accept":         "HTTP/1.1 101 OK\nUpgrade: websocket\nConnection: Upgrade\n\n",
		"wrong accept":      "HTTP/1.1 101 OK\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: x\n\n",
		"no upgrade":        "HTTP/1.1 101 OK\nConnection: Upgrade\nSec-WebSocket-Accept: KEY\n\n",
		"no connection":     "HTTP/1.1 101 OK\nUpgrade: websocket\nSec-WebSocket-Accept: KEY\n\n",
		"compression":       good + "Sec-WebSocket-Extensions: permessage-deflate\n\n",
		"protocol":          good + "Sec-WebSocket-Protocol: chat\n\n",
		"not HTTP":          "SSH-2.0-OpenSSH\n",
		"nothing":           "",
		"half a header":     "HTTP/1.1 101 OK\nUpgr",
		"header of 100 KiB": good + "X: " + strings.Repeat("x", 100<<10) + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := Dial(t.Context(), answer(t, format), nil, nil)
			if !errors.Is(err, ErrHandshake) {
				t.Errorf("got %v, %v", c, err)
			}
		})
	}
}

func TestFrameSentAlongWithTheAnswerIsNotLost(t *testing.T) {
	t.Parallel()
	url := answer(t, "HTTP/1.1 101 OK\nUpgrade: WebSocket\nConnection: upgrade\nSec-WebSocket-Accept: KEY\n\n"+
		"\x81\x05hello\x81\x05again")
	c, err := Dial(t.Context(), url, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := newRecorder().start(c)
	if a, b := client.text(t), client.text(t); a != "hello" || b != "again" {
		t.Errorf("got %q, %q", a, b)
	}
	client.end(t)
}

func TestDialEndsWithItsContextOrTimeout(t *testing.T) {
	t.Parallel()
	for name, freeze := range map[string]string{"while connecting": "server", "while waiting for the answer": ""} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := memnet.New(nil)
				l, err := n.Listen("server:80")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = l.Close() }()
				if freeze != "" {
					n.Freeze(freeze)
				}
				start := time.Now()
				_, err = Dial(t.Context(), "ws://server/", nil, &Options{Dial: n.Dial})
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != DefaultHandshakeTimeout {
					t.Errorf("got %v after %v", err, time.Since(start))
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				start = time.Now()
				_, err = Dial(ctx, "ws://server/", nil, &Options{Dial: n.Dial})
				if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
					t.Errorf("got %v after %v", err, time.Since(start))
				}
			})
		})
	}
}

func tlsServer(t *testing.T, o *Options, use func(*Conn)) (*httptest.Server, string, *tls.Config) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := Accept(w, r, o); err == nil {
			use(c)
		}
	}))
	srv.EnableHTTP2 = true // the client must ask for HTTP/1.1
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv, "wss" + strings.TrimPrefix(srv.URL, "https"), srv.Client().Transport.(*http.Transport).TLSClientConfig
}

func TestMessagesComeThroughTLS(t *testing.T) {
	t.Parallel()
	conns := make(chan *Conn, 1)
	_, url, config := tlsServer(t, nil, func(c *Conn) { conns <- c })
	var wrapped atomic.Int64
	c, err := Dial(t.Context(), url, nil, &Options{TLS: config, WrapConn: func(nc net.Conn) net.Conn {
		if _, ok := nc.(*net.TCPConn); !ok {
			t.Errorf("WrapConn got a %T", nc)
		}
		wrapped.Add(1)
		return nc
	}})
	if err != nil {
		t.Fatal(err)
	}
	client, server := newRecorder().start(c), echoServer().start(<-conns)
	checkEcho(t, client)
	client.conn.Close(1000, "")
	if err := client.end(t); err.Err != nil {
		t.Error(err)
	}
	if err := server.end(t); err.Err != nil || !err.Remote {
		t.Error(err)
	}
	if wrapped.Load() != 1 {
		t.Errorf("WrapConn was called %d times", wrapped.Load())
	}
}

func TestCertificateThatIsNotTrustedIsRefused(t *testing.T) {
	t.Parallel()
	_, url, config := tlsServer(t, nil, func(c *Conn) { c.Abort(nil) })
	if _, err := Dial(t.Context(), url, nil, nil); !errors.Is(err, ErrDial) {
		t.Errorf("unknown authority: %v", err)
	}
	wrong := config.Clone()
	wrong.ServerName = "other.test"
	if _, err := Dial(t.Context(), url, nil, &Options{TLS: wrong}); !errors.Is(err, ErrDial) {
		t.Errorf("wrong name: %v", err)
	}
}

func TestTLSPeerThatNeverReadsEndsAfterWriteTimeout(t *testing.T) {
	t.Parallel()
	conns := make(chan *Conn, 1)
	o := &Options{WriteTimeout: 50 * time.Millisecond, MaxOutbound: 64 << 20}
	_, url, config := tlsServer(t, o, func(c *Conn) { conns <- c })
	c, err := Dial(t.Context(), url, nil, &Options{TLS: config}) // never started, so it never reads
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort(nil)
	server := newRecorder().start(<-conns)
	if err := server.conn.Send(Data, make([]byte, 32<<20)); err != nil {
		t.Fatal(err)
	}
	server.conn.Flush()
	if err := server.end(t); !errors.Is(err, ErrWriteTimeout) {
		t.Errorf("server: %v", err)
	}
}

func TestWrappedConnectionsAreReadAndWrittenThroughTheWrapper(t *testing.T) {
	t.Parallel()
	var read, written atomic.Int64
	o := &Options{WrapConn: func(nc net.Conn) net.Conn {
		// Embedding the TCP connection offers SyscallConn, which must not be used.
		return &tap{TCPConn: nc.(*net.TCPConn), read: &read, written: &written}
	}}
	s := real().open(t, nil, o, newRecorder(), echoServer())
	const n = 50
	for i := range n {
		if err := s.client.conn.Send(Data, fmt.Appendf(nil, "%0100d", i)); err != nil {
			t.Fatal(err)
		}
		s.client.conn.Flush()
		s.client.text(t)
	}
	if read.Load() < n*100 || written.Load() < n*100 {
		t.Errorf("%d bytes read and %d written through the wrapper", read.Load(), written.Load())
	}
}

type tap struct {
	*net.TCPConn
	read, written *atomic.Int64
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func (c *tap) Write(p []byte) (int, error) {
	n, err := c.TCPConn.Write(p)
	c.written.Add(int64(n))
	return n, err
}
