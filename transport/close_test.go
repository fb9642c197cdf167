package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/transport/memnet"
)

func TestCloseFlushesWhatIsQueuedAndRefusesMore(t *testing.T) {
	t.Parallel()
	server, client := newRecorder(), newRecorder()
	s := real().open(t, nil, nil, client, server)
	for range 100 {
		if err := s.client.conn.Send(Data, []byte(pattern(10000))); err != nil {
			t.Fatal(err)
		}
	}
	s.client.conn.Close(4001, "enough")
	s.client.conn.Close(4002, "second call")
	if err := s.client.conn.Send(Data, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("send after Close: %v", err)
	}
	if err := s.client.conn.Ping(); !errors.Is(err, ErrClosed) {
		t.Errorf("ping after Close: %v", err)
	}
	if err := server.end(t); err.Code != 4001 || err.Reason != "enough" || !err.Remote {
		t.Errorf("server: %v", err)
	}
	if len(server.texts) != 100 {
		t.Errorf("%d messages came through", len(server.texts))
	}
	if err := client.end(t); err.Code != 4001 || err.Remote || err.Err != nil {
		t.Errorf("client: %v", err)
	}
	if err := client.conn.Send(Data, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("send after the end: %v", err)
	}
}

func TestPeersCloseIsEchoedOnceWithItsCode(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		send          []byte
		echo, code    int
		reason        string
		alreadyClosed bool
	}{
		"normal":     {send: closeFrame(1000, "bye"), echo: 1000, code: 1000, reason: "bye"},
		"going away": {send: closeFrame(1001, ""), echo: 1001, code: 1001},
		"own code":   {send: closeFrame(4999, "x"), echo: 4999, code: 4999, reason: "x"},
		"no code":    {send: closeFrame(0, ""), echo: 0, code: CodeNoStatus},
		"twice":      {send: join(closeFrame(1000, "a"), closeFrame(1000, "b")), echo: 1000, code: 1000, reason: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newRecorder()
			r := rawSession(t, real(), nil, server, nil)
			r.write(test.send)
			r.expectClose(test.echo)
			err := server.end(t)
			if err.Code != test.code || err.Reason != test.reason || !err.Remote || err.Err != nil {
				t.Errorf("server: %+v", err)
			}
		})
	}
}

func TestQueuedDataGoesBeforeTheEcho(t *testing.T) {
	t.Parallel()
	server := newRecorder()
	server.onText = func(c *Conn, _ []byte) {
		if err := c.Send(Data, []byte("answer")); err != nil {
			t.Error(err)
		}
	}
	r := rawSession(t, real(), nil, server, nil)
	r.write(join(frame(0x81, []byte("question")), closeFrame(1000, "")))
	r.expect(opText, "answer")
	r.expectClose(1000)
}

func TestCloseIsAnsweredOnceByThePeerAndNotAgainByUs(t *testing.T) {
	t.Parallel()
	server := newRecorder()
	r := rawSession(t, real(), nil, server, nil)
	server.conn.Close(1001, "going")
	if op, p, err := r.read(); err != nil || op != opClose || string(p) != "\x03\xe9going" {
		t.Fatalf("got %d %q %v", op, p, err)
	}
	r.write(join(frame(0x81, []byte("last words")), closeFrame(1001, "going")))
	if op, p, err := r.read(); !errors.Is(err, io.EOF) {
		t.Errorf("after the handshake came %d %q %v", op, p, err)
	}
	if got := server.text(t); got != "last words" {
		t.Errorf("got %q", got)
	}
	if err := server.end(t); err.Code != 1001 || err.Remote || err.Err != nil {
		t.Errorf("server: %v", err)
	}
}

func TestPeerThatDoesNotAnswerCloseIsLeftAfterCloseTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newRecorder()
		r := rawSession(t, memory(memnet.New(nil)), nil, server, nil)
		start := time.Now()
		server.conn.Close(1000, "")
		if op, _, err := r.read(); err != nil || op != opClose {
			t.Fatal(op, err)
		}
		err := server.end(t)
		if d := time.Since(start); d != DefaultCloseTimeout {
			t.Errorf("took %v", d)
		}
		if err.Code != 1000 || err.Remote || !errors.Is(err, ErrCloseTimeout) {
			t.Errorf("server: %v", err)
		}
	})
}

func TestCloseOfAPeerThatDoesNotReadEndsAfterWriteTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newRecorder()
		rawSession(t, memory(memnet.New(nil)), nil, server, nil)
		if err := server.conn.Send(Data, make([]byte, 200<<10)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		server.conn.Close(1000, "")
		if err := server.end(t); err.Code != 1000 || err.Err == nil {
			t.Errorf("server: %v", err)
		}
		if d := time.Since(start); d != DefaultWriteTimeout {
			t.Errorf("took %v", d)
		}
	})
}

func TestPeerThatFloodsAfterBeingRefusedIsLeftAfterCloseTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newRecorder()
		r := rawSession(t, memory(memnet.New(nil)), nil, server, nil)
		start := time.Now()
		r.write(frame(0x82, nil))
		flooded := make(chan error)
		go func() {
			for {
				if _, err := r.nc.Write(make([]byte, 1000)); err != nil {
					flooded <- err
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		if err := server.end(t); err.Code != CodeUnsupported {
			t.Errorf("server: %v", err)
		}
		if d := time.Since(start); d != DefaultCloseTimeout {
			t.Errorf("took %v", d)
		}
		if err := <-flooded; err == nil {
			t.Error("the connection is still there")
		}
	})
}

func TestBothClosingAtOnceIsAClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := memory(memnet.New(&memnet.Options{Latency: time.Second}))
		s := w.open(t, nil, nil, newRecorder(), newRecorder())
		s.client.conn.Close(1000, "client")
		s.server.conn.Close(1001, "server")
		if err := s.client.end(t); err.Code != 1000 || err.Err != nil {
			t.Errorf("client: %v", err)
		}
		if err := s.server.end(t); err.Code != 1001 || err.Err != nil {
			t.Errorf("server: %v", err)
		}
		s.stop()
	})
}

func TestAbortEndsAtOnceWithItsError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory(memnet.New(nil)).open(t, nil, nil, newRecorder(), newRecorder())
		start := time.Now()
		cause := errors.New("cause")
		s.client.conn.Abort(cause)
		s.client.conn.Abort(errors.New("second call"))
		s.client.conn.Close(1000, "")
		if err := s.client.end(t); err.Code != CodeAbnormal || err.Remote || !errors.Is(err, cause) {
			t.Errorf("client: %v", err)
		}
		if err := s.server.end(t); err.Code != CodeAbnormal || !errors.Is(err, ErrCut) {
			t.Errorf("server: %v", err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
		s.stop()
	})
}

func TestPanicOrGoexitInAHandlerClosesWith1011(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		onText func(*Conn, []byte)
		logged string
	}{
		"panic":  {func(*Conn, []byte) { panic("boom") }, "boom"},
		"goexit": {func(*Conn, []byte) { runtime.Goexit() }, "HandleText"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := newLog()
			server := newRecorder()
			server.onText = test.onText
			r := rawSession(t, real(), &Options{Logger: log.logger()}, server, nil)
			r.write(join(frame(0x81, []byte("a")), frame(0x81, []byte("b"))))
			r.expectClose(CodeInternal)
			_ = r.nc.Close()
			if err := server.end(t); err.Code != CodeInternal || !errors.Is(err, ErrPanic) {
				t.Errorf("server: %v", err)
			}
			if s := log.String(); strings.Count(s, "handler panicked") != 1 ||
				!strings.Contains(s, test.logged) || !strings.Contains(s, "close_test.go") {
				t.Errorf("log: %s", s)
			}
		})
	}
}

func TestHalfOpenConnectionIsFoundByTheWriteTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New(&memnet.Options{Buffer: 1000})
		s := memory(n).open(t, nil, nil, newRecorder(), newRecorder())
		n.HalfOpen("server:80")
		start := time.Now()
		if err := s.client.conn.Send(Data, make([]byte, 3000)); err != nil {
			t.Fatal(err)
		}
		s.client.conn.Flush()
		if err := s.client.end(t); err.Code != CodeAbnormal || !errors.Is(err, ErrWriteTimeout) {
			t.Errorf("client: %v", err)
		}
		if d := time.Since(start); d != DefaultWriteTimeout {
			t.Errorf("took %v", d)
		}
		n.Heal("server:80")
		if err := s.server.end(t); err.Code != CodeAbnormal {
			t.Errorf("server: %v", err)
		}
		s.stop()
	})
}

// Not parallel: it counts the descriptors and goroutines of the process.
func TestNothingIsLeftOfConnectionsHoweverTheyEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("descriptors are counted on Linux only")
	}
	goroutines, descriptors := runtime.NumGoroutine(), countDescriptors(t)
	conns := make(chan *Conn, 1)
	addr, stop := real().serve(t, &Options{CloseTimeout: time.Second, WriteTimeout: 50 * time.Millisecond, Logger: quiet},
		func(c *Conn) { conns <- c })
	ends := []func(r *raw, server *Conn){
		func(r *raw, _ *Conn) { _ = r.nc.Close() },
		func(r *raw, _ *Conn) { _ = r.nc.(*net.TCPConn).SetLinger(0); _ = r.nc.Close() },
		func(r *raw, _ *Conn) { r.write(closeFrame(1000, "")) },
		func(r *raw, _ *Conn) { r.write(length64(1 << 63)); r.expectClose(CodeProtocol); _ = r.nc.Close() },
		func(_ *raw, c *Conn) { c.Abort(nil) },
		func(r *raw, c *Conn) { c.Close(1000, ""); r.write(closeFrame(1000, "")) },
		func(_ *raw, c *Conn) { _ = c.Send(Data, make([]byte, 4000000)); c.Flush() },
		func(_ *raw, c *Conn) { _ = c.Send(Data, make([]byte, 4000000)); c.Close(1000, "") },
	}
	for _, end := range ends {
		for range 5 {
			r := rawOpen(t, real(), addr, nil)
			server := newRecorder().start(<-conns)
			end(r, server.conn)
			server.end(t)
			if len(server.closed) != 0 {
				t.Error("HandleClose was called twice")
			}
			_ = r.nc.Close()
		}
	}
	stop()
	eventually(t, func() bool {
		return runtime.NumGoroutine() <= goroutines && countDescriptors(t) <= descriptors
	}, func() {
		t.Errorf("goroutines %d, were %d; descriptors %d, were %d",
			runtime.NumGoroutine(), goroutines, countDescriptors(t), descriptors)
	})
}

func countDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(entries)
}
