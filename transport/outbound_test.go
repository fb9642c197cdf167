package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/transport/memnet"
)

func TestPeerThatNeverReadsEndsAloneAfterWriteTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := memory(memnet.New(nil))
		conns := make(chan *Conn, 1)
		addr, stop := w.serve(t, nil, func(c *Conn) { conns <- c })
		stuck := rawOpen(t, w, addr, nil)
		server := newRecorder().start(<-conns)
		neighbour := rawOpen(t, w, addr, nil)
		echoServer().start(<-conns)

		start := time.Now()
		for range 20 {
			if err := server.conn.Send(Data, make([]byte, 100<<10)); err != nil {
				t.Fatal(err)
			}
			server.conn.Flush()
		}
		// Neither the reader nor any sender waits for the one that writes.
		stuck.write(frame(0x81, []byte("still read")))
		if got := server.text(t); got != "still read" {
			t.Errorf("got %q", got)
		}
		neighbour.write(frame(0x81, []byte("hello")))
		neighbour.expect(opText, "hello")
		if d := time.Since(start); d != 0 {
			t.Errorf("that took %v", d)
		}
		if err := server.end(t); err.Code != CodeAbnormal || !errors.Is(err, ErrWriteTimeout) {
			t.Errorf("server: %v", err)
		}
		if d := time.Since(start); d != DefaultWriteTimeout {
			t.Errorf("took %v", d)
		}
		neighbour.write(frame(0x81, []byte("again")))
		neighbour.expect(opText, "again")
		_ = neighbour.nc.Close()
		stop()
	})
}

func TestPeerThatNeverReadsEndsAfterWriteTimeoutOnSockets(t *testing.T) {
	t.Parallel()
	server := newRecorder()
	rawSession(t, real(), &Options{WriteTimeout: 50 * time.Millisecond, MaxOutbound: 64 << 20}, server, nil)
	if err := server.conn.Send(Data, make([]byte, 32<<20)); err != nil {
		t.Fatal(err)
	}
	server.conn.Flush()
	if err := server.end(t); err.Code != CodeAbnormal || !errors.Is(err, ErrWriteTimeout) {
		t.Errorf("server: %v", err)
	}
}

func TestPeerThatReadsSlowlyIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newRecorder()
		r := rawSession(t, memory(memnet.New(&memnet.Options{Buffer: 20000})), nil, server, nil)
		message := pattern(500 << 10)
		if err := server.conn.Send(Data, []byte(message)); err != nil {
			t.Fatal(err)
		}
		server.conn.Flush()
		var got []byte
		b := make([]byte, 16<<10)
		for len(got) < len(message)+10 {
			time.Sleep(9 * time.Second) // a little progress each time, within the limit
			n, err := r.br.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, b[:n]...)
		}
		if string(got[10:]) != message {
			t.Error("message is damaged")
		}
	})
}

func TestQueueRefusesWhatIsOverMaxOutboundAndTellsWhenThereIsRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newRecorder()
		r := rawSession(t, memory(memnet.New(&memnet.Options{Buffer: 1000})), &Options{MaxOutbound: 100_000}, server, nil)
		c := server.conn
		if err := c.Send(Data, make([]byte, 100_000)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("message over the limit: %v", err)
		}
		sent := 0
		for ; ; sent++ {
			err := c.Send(Data, []byte(pattern(9000)))
			if errors.Is(err, ErrQueueFull) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			c.Flush()
		}
		if n := c.Buffered(); sent != 11 || n > 100_000 {
			t.Errorf("%d messages sent, %d bytes queued", sent, n)
		}
		if err := c.Send(Control, []byte("control")); err != nil {
			t.Errorf("control lane: %v", err)
		}
		synctest.Wait()
		if len(server.writable) != 0 {
			t.Error("HandleWritable was called while the queue was full")
		}
		texts := 0
		for range sent + 1 {
			if _, p, err := r.read(); err != nil || len(p) != 9000 && string(p) != "control" {
				t.Fatal(len(p), err)
			}
			texts++
		}
		<-server.writable
		synctest.Wait()
		if n := c.Buffered(); n != 0 || len(server.writable) != 0 {
			t.Errorf("%d bytes queued, %d more calls of HandleWritable", n, len(server.writable))
		}
		if err := c.Send(Data, nil); err != nil {
			t.Errorf("send when there is room: %v", err)
		}
	})
}

func TestHandleWritableComesThoughTheConnectionIsStartedLate(t *testing.T) {
	t.Parallel()
	conns := make(chan *Conn, 1)
	addr, _ := real().serve(t, &Options{MaxOutbound: 1000}, func(c *Conn) { conns <- c })
	r := rawOpen(t, real(), addr, nil)
	c := <-conns
	defer c.Abort(nil)
	if err := c.Send(Data, []byte(pattern(900))); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(Data, []byte(pattern(900))); !errors.Is(err, ErrQueueFull) {
		t.Fatal(err)
	}
	c.Flush()
	r.expect(opText, pattern(900))
	<-newRecorder().start(c).writable
}

func TestControlLaneOvertakesDataButNotWithinAMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newRecorder()
		r := rawSession(t, memory(memnet.New(&memnet.Options{Buffer: 1000})), nil, server, nil)
		for i := range 30 {
			if err := server.conn.Send(Data, fmt.Appendf(nil, "%02d%s", i, pattern(10000))); err != nil {
				t.Fatal(err)
			}
		}
		server.conn.Flush()
		synctest.Wait()
		if err := server.conn.Send(Control, []byte("urgent")); err != nil {
			t.Fatal(err)
		}
		if err := server.conn.Ping(); err != nil {
			t.Fatal(err)
		}
		next, control := 0, 0
		for range 32 {
			op, p, err := r.read()
			switch {
			case err != nil:
				t.Fatal(err)
			case op == opPing || string(p) == "urgent":
				control++
				if next > maxWire/10000+1 {
					t.Errorf("control lane waited for %d messages", next)
				}
			case string(p) != fmt.Sprintf("%02d%s", next, pattern(10000)):
				t.Fatalf("got %.10q, want message %d", p, next)
			default:
				next++
			}
		}
		if control != 2 {
			t.Errorf("%d control frames", control)
		}
	})
}

func TestControlLaneIsBounded(t *testing.T) {
	t.Parallel()
	client, server := newRecorder(), newRecorder()
	s := real().open(t, nil, nil, client, server)
	full := 0
	for range 10000 {
		if err := s.client.conn.Send(Control, []byte("0123456789")); errors.Is(err, ErrQueueFull) {
			full++
		}
	}
	if n := s.client.conn.Buffered(); full == 0 || n > controlSpace {
		t.Errorf("%d refused, %d bytes queued", full, n)
	}
	if err := s.client.conn.Send(Control, make([]byte, controlSpace)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large control message: %v", err)
	}
}

func TestPingIsAnsweredAndHandled(t *testing.T) {
	t.Parallel()
	client, server := newRecorder(), newRecorder()
	s := real().open(t, nil, nil, client, server)
	if err := s.client.conn.Ping(); err != nil {
		t.Fatal(err)
	}
	<-client.pongs
	if err := s.server.conn.Ping(); err != nil {
		t.Fatal(err)
	}
	<-server.pongs
}

// writeCounter counts writes, and writes only a few bytes at a time if asked to.
type writeCounter struct {
	net.Conn
	writes atomic.Int64
	gate   chan struct{} // if not nil, each write waits for it
}

func (w *writeCounter) Write(p []byte) (int, error) {
	w.writes.Add(1)
	if w.gate != nil {
		<-w.gate
	}
	return w.Conn.Write(p)
}

func TestMessagesThatWaitAreJoinedInOneWrite(t *testing.T) {
	t.Parallel()
	server := newRecorder()
	var counter *writeCounter
	co := &Options{WrapConn: func(nc net.Conn) net.Conn {
		counter = &writeCounter{Conn: nc}
		return counter
	}}
	s := real().open(t, co, nil, newRecorder(), server)
	before := counter.writes.Load()
	for i := range 100 {
		if err := s.client.conn.Send(Lane(i%2), []byte("message")); err != nil {
			t.Fatal(err)
		}
	}
	s.client.conn.Flush()
	for range 100 {
		server.text(t)
	}
	if n := counter.writes.Load() - before; n != 1 {
		t.Errorf("%d writes for 100 messages", n)
	}
}

func TestFlushNeverBlocksOnAWrappedConnection(t *testing.T) {
	t.Parallel()
	server := newRecorder()
	gate := make(chan struct{})
	var counter *writeCounter
	co := &Options{WrapConn: func(nc net.Conn) net.Conn {
		counter = &writeCounter{Conn: nc}
		return counter
	}}
	s := real().open(t, co, nil, newRecorder(), server)
	counter.gate = gate
	for i := range 10 {
		if err := s.client.conn.Send(Data, fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
		s.client.conn.Flush()
	}
	close(gate)
	for i := range 10 {
		if got := server.text(t); got != fmt.Sprint(i) {
			t.Errorf("got %q, want %d", got, i)
		}
	}
}

func TestWriteErrorLeavesTimeForThePeersCloseFrame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(&memnet.Options{Latency: time.Second})
		server := newRecorder()
		broken := errors.New("broken")
		so := &Options{WrapConn: func(nc net.Conn) net.Conn { return &failingWriter{Conn: nc, err: broken} }}
		r := rawSession(t, memory(n), so, server, nil)
		r.write(closeFrame(1008, "revoked"))
		if err := server.conn.Send(Data, []byte("x")); err != nil {
			t.Fatal(err)
		}
		server.conn.Flush()
		if err := server.end(t); err.Code != 1008 || err.Reason != "revoked" || !err.Remote {
			t.Errorf("server: %v", err)
		}

		silent := newRecorder()
		rawSession(t, memory(memnet.New(nil)), so, silent, nil)
		if err := silent.conn.Send(Data, []byte("x")); err != nil {
			t.Fatal(err)
		}
		silent.conn.Flush()
		if err := silent.end(t); err.Code != CodeAbnormal || !errors.Is(err, broken) {
			t.Errorf("server: %v", err)
		}
	})
}

// failingWriter fails all writes after the opening handshake.
type failingWriter struct {
	net.Conn
	err   error
	wrote atomic.Bool
}

func (f *failingWriter) Write(p []byte) (int, error) {
	if f.wrote.Swap(true) {
		return 0, f.err
	}
	return f.Conn.Write(p)
}

func TestPanicOrGoexitInHandleWritableClosesTheConnection(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(){"panic": func() { panic("boom") }, "goexit": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := &badWriter{recorder: newRecorder(), do: do}
			conns := make(chan *Conn, 1)
			addr, _ := real().serve(t, &Options{MaxOutbound: 1000, Logger: quiet}, func(c *Conn) { conns <- c })
			r := rawOpen(t, real(), addr, nil)
			c := <-conns
			c.Start(server)
			if err := c.Send(Data, []byte(pattern(900))); err != nil {
				t.Fatal(err)
			}
			c.Flush()
			r.expect(opText, pattern(900))
			if op, _, err := r.read(); op != opClose || err != nil {
				t.Fatal(op, err)
			}
			r.write(closeFrame(CodeInternal, ""))
			if err := server.end(t); err.Code != CodeInternal || err.Err != nil {
				t.Errorf("server: %v", err)
			}
		})
	}
}

type badWriter struct {
	*recorder
	do func()
}

func (b *badWriter) HandleWritable() { b.do() }

func TestBothSidesSendingMoreThanFitsDoesNotDeadlock(t *testing.T) {
	t.Parallel()
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"raw":     nil,
		"wrapped": func(nc net.Conn) net.Conn { return struct{ net.Conn }{nc} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, server := newRecorder(), newRecorder()
			o := &Options{WrapConn: wrap, MaxOutbound: 1 << 20}
			s := real().open(t, o, o, client, server)
			var wg sync.WaitGroup
			const messages = 60
			for _, r := range []*recorder{s.client, s.server} {
				wg.Go(func() {
					for i := 0; i < messages; {
						err := r.conn.Send(Data, []byte(pattern(50_000+i)))
						if errors.Is(err, ErrQueueFull) {
							<-r.writable
							continue
						}
						if err != nil {
							t.Error(err)
							return
						}
						r.conn.Flush()
						i++
					}
				})
			}
			for _, r := range []*recorder{s.client, s.server} {
				for i := range messages {
					if got := r.text(t); got != pattern(50_000+i) {
						t.Fatalf("message %d is damaged", i)
					}
				}
			}
			wg.Wait()
		})
	}
}

func TestContextOfDialDoesNotOutliveIt(t *testing.T) {
	t.Parallel()
	conns := make(chan *Conn, 1)
	addr, _ := real().serve(t, nil, func(c *Conn) { conns <- c })
	ctx, cancel := context.WithCancel(t.Context())
	c, err := Dial(ctx, "ws://"+addr, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	client, server := newRecorder().start(c), echoServer().start(<-conns)
	defer server.conn.Abort(nil)
	defer client.conn.Abort(nil)
	if err := c.Send(Data, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	c.Flush()
	if got := client.text(t); got != "hello" {
		t.Errorf("got %q", got)
	}
}
