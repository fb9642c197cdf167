package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pando-agents/pando/transport/memnet"
)

func TestMain(m *testing.M) {
	if os.Getenv(idleServer) != "" {
		serveIdle()
		return
	}
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.DiscardHandler)

// recorder is a Handler that keeps what it gets.
type recorder struct {
	conn     *Conn
	onText   func(c *Conn, p []byte)
	texts    chan string
	pongs    chan struct{}
	writable chan struct{}
	closed   chan *CloseError
	ended    chan struct{} // closed by the first HandleClose
}

func newRecorder() *recorder {
	return &recorder{
		texts: make(chan string, 10000), pongs: make(chan struct{}, 1000),
		writable: make(chan struct{}, 1000), closed: make(chan *CloseError, 10), ended: make(chan struct{}),
	}
}

func echo(c *Conn, p []byte) {
	if err := c.Send(Data, p); err != nil {
		c.Abort(err)
	}
	c.Flush()
}

func (r *recorder) HandleText(p []byte) {
	if r.onText != nil {
		r.onText(r.conn, p)
		return
	}
	r.texts <- string(p)
}
func (r *recorder) HandlePong()     { r.pongs <- struct{}{} }
func (r *recorder) HandleWritable() { r.writable <- struct{}{} }
func (r *recorder) HandleClose(err *CloseError) {
	r.closed <- err
	if len(r.closed) == 1 {
		close(r.ended)
	}
}

func (r *recorder) start(c *Conn) *recorder {
	r.conn = c
	c.Start(r)
	return r
}

// world is where a test takes place: on real sockets, or in memory.
type world struct {
	listen func() (net.Listener, error)
	dial   func(ctx context.Context, network, addr string) (net.Conn, error)
}

func real() world {
	return world{
		listen: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		dial:   new(net.Dialer).DialContext,
	}
}

func memory(n *memnet.Network) world {
	return world{listen: func() (net.Listener, error) { return n.Listen("server:80") }, dial: n.Dial}
}

// serve accepts connections and gives each to use. It returns the address and a
// function that ends the server, which the test's cleanup calls too.
func (w world) serve(t testing.TB, o *Options, use func(*Conn)) (addr string, stop func()) {
	t.Helper()
	l, err := w.listen()
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			c, err := Accept(rw, r, o)
			if err == nil {
				use(c)
			}
		}),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, 0),
	}
	done := make(chan struct{})
	go func() { _ = srv.Serve(l); close(done) }()
	stop = func() { _ = srv.Close(); <-done }
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// session is one connection with both ends at hand.
type session struct {
	client, server *recorder
	stop           func()
}

// open connects a client and a server, both started with the given handlers.
func (w world) open(t testing.TB, co, so *Options, client, server *recorder) session {
	t.Helper()
	conns := make(chan *Conn, 1)
	addr, stop := w.serve(t, so, func(c *Conn) { conns <- c })
	o := Options{}
	if co != nil {
		o = *co
	}
	if o.Dial == nil {
		o.Dial = w.dial
	}
	c, err := Dial(t.Context(), "ws://"+addr+"/ws", nil, &o)
	if err != nil {
		t.Fatal(err)
	}
	s := session{client: client.start(c), server: server.start(<-conns), stop: stop}
	t.Cleanup(func() { s.client.conn.Abort(nil); s.server.conn.Abort(nil) })
	return s
}

// text waits for a message.
func (r *recorder) text(t testing.TB) string {
	t.Helper()
	select {
	case s := <-r.texts:
		return s
	case <-r.ended:
		select {
		case s := <-r.texts:
			return s
		default:
			t.Fatal("connection ended")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no message")
	}
	return ""
}

// end waits for HandleClose and checks that it is not called twice.
func (r *recorder) end(t testing.TB) *CloseError {
	t.Helper()
	select {
	case err := <-r.closed:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("connection did not end")
	}
	return nil
}

// raw is a WebSocket client that sends what it likes.
type raw struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
}

// rawOpen does the opening handshake by hand; extra is sent in the same write.
func rawOpen(t testing.TB, w world, addr string, extra []byte) *raw {
	t.Helper()
	nc, err := w.dial(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	r := &raw{t: t, nc: nc, br: bufio.NewReader(nc)}
	r.write(append([]byte("GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), extra...))
	resp, err := http.ReadResponse(r.br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("bad answer: %v", resp)
	}
	return r
}

func (r *raw) write(p []byte) {
	r.t.Helper()
	if _, err := r.nc.Write(p); err != nil {
		r.t.Fatal(err)
	}
}

// read returns the next frame; an error means that the connection has ended.
func (r *raw) read() (op byte, payload []byte, err error) {
	if err := r.nc.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return 0, nil, err
	}
	head := make([]byte, 2)
	if _, err := io.ReadFull(r.br, head); err != nil {
		return 0, nil, err
	}
	if head[1]&0x80 != 0 {
		return 0, nil, errors.New("masked frame from a server")
	}
	if head[0]&0x80 == 0 {
		return 0, nil, errors.New("fragment")
	}
	n := uint64(head[1])
	if n >= 126 {
		ext := make([]byte, map[uint64]int{126: 2, 127: 8}[n])
		if _, err := io.ReadFull(r.br, ext); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(append(make([]byte, 8-len(ext)), ext...))
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(r.br, payload)
	return head[0] & 0x0F, payload, err
}

func (r *raw) expect(op byte, payload string) {
	r.t.Helper()
	gotOp, got, err := r.read()
	if err != nil || gotOp != op || string(got) != payload {
		r.t.Fatalf("got frame %d %q, %v; want %d %q", gotOp, got, err, op, payload)
	}
}

// expectClose reads a close frame with the code and then the end of the stream.
func (r *raw) expectClose(code int) {
	r.t.Helper()
	op, p, err := r.read()
	if err != nil || op != opClose {
		r.t.Fatalf("got frame %d %q, %v; want a close frame", op, p, err)
	}
	got := 0
	if len(p) >= 2 {
		got = int(binary.BigEndian.Uint16(p))
	}
	if got != code {
		r.t.Fatalf("close code %d %q, want %d", got, p, code)
	}
	if op, p, err := r.read(); !errors.Is(err, io.EOF) {
		r.t.Fatalf("after the close frame came %d %q, %v; want the end", op, p, err)
	}
}

// frame builds a masked frame with any first byte.
func frame(first byte, payload []byte) []byte {
	b := appendFrame(nil, true, 0, payload)
	b[0] = first
	return b
}

func pattern(n int) string { return strings.Repeat("0123456789abcdef", n/16+1)[:n] }

func closeFrame(code int, reason string) []byte {
	return appendFrame(nil, true, opClose, closePayload(code, reason))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// logBuffer collects log output.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func newLog() *logBuffer { return &logBuffer{} }

func (l *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// eventually waits for what has no event to wait for: goroutines and descriptors
// that are on their way out.
func eventually(t *testing.T, done func() bool, report func()) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for range 10000 {
		if done() {
			return
		}
		<-ticker.C
	}
	report()
}
