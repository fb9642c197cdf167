package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// in runs a test in virtual time with a listener on server:80.
func in(t *testing.T, o *Options, f func(t *testing.T, n *Network, l net.Listener)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := New(o)
		l, err := n.Listen("server:80")
		if err != nil {
			t.Fatal(err)
		}
		f(t, n, l)
		_ = l.Close()
	})
}

// pair opens a connection and returns the dialler's and the listener's end.
func pair(t *testing.T, n *Network, l net.Listener) (client, server net.Conn) {
	t.Helper()
	client, err := n.Dial(t.Context(), "tcp", "server:80")
	if err != nil {
		t.Fatal(err)
	}
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b, err, want)
	}
}

func TestPendingDataIsReadBeforeTheEnd(t *testing.T) {
	in(t, nil, func(t *testing.T, n *Network, l net.Listener) {
		client, server := pair(t, n, l)
		write(t, client, "hello")
		_ = client.Close()
		expect(t, server, "hello")
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read: %v", err)
		}
		if _, err := server.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write to a closed peer: %v", err)
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
		_ = server.Close()
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.conns) != 0 {
			t.Errorf("%d connections are remembered", len(n.conns))
		}
	})
}

func TestOneDirectionCanBeClosedAlone(t *testing.T) {
	in(t, nil, func(t *testing.T, n *Network, l net.Listener) {
		client, server := pair(t, n, l)
		_ = client.(interface{ CloseWrite() error }).CloseWrite()
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("read: %v", err)
		}
		write(t, server, "still here")
		expect(t, client, "still here")
	})
}

func TestWriterWaitsWhileTheBufferIsFull(t *testing.T) {
	in(t, &Options{Buffer: 10}, func(t *testing.T, n *Network, l net.Listener) {
		client, server := pair(t, n, l)
		done := make(chan error, 1)
		go func() {
			_, err := io.WriteString(client, "0123456789abcdef")
			done <- err
		}()
		synctest.Wait()
		if len(done) != 0 {
			t.Error("write did not wait")
		}
		expect(t, server, "012345")
		synctest.Wait()
		if err := <-done; err != nil {
			t.Error(err)
		}
		expect(t, server, "6789abcdef")
	})
}

func TestDeadlinesInterruptAndCanBeMoved(t *testing.T) {
	in(t, &Options{Buffer: 10}, func(t *testing.T, n *Network, l net.Listener) {
		client, server := pair(t, n, l)
		start := time.Now()
		_ = client.SetReadDeadline(start.Add(time.Hour))
		time.AfterFunc(time.Second, func() { _ = client.SetReadDeadline(start.Add(3 * time.Second)) })
		_, err := client.Read(make([]byte, 1))
		var timeout net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() || time.Since(start) != 3*time.Second {
			t.Errorf("read: %v after %v", err, time.Since(start))
		}
		_ = client.SetDeadline(time.Time{})
		write(t, server, "x")
		expect(t, client, "x")

		start = time.Now()
		_ = client.SetWriteDeadline(start.Add(time.Second))
		k, err := client.Write(make([]byte, 20))
		if k != 10 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("write: %d, %v after %v", k, err, time.Since(start))
		}
	})
}

func TestLatencyDelaysDataAndTheEnd(t *testing.T) {
	in(t, &Options{Latency: time.Second}, func(t *testing.T, n *Network, l net.Listener) {
		start := time.Now()
		client, server := pair(t, n, l)
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("dial took %v", d)
		}
		start = time.Now()
		write(t, client, "a")
		time.Sleep(time.Second / 2)
		n.SetLatency("server", 3*time.Second)
		write(t, client, "b")
		_ = client.Close()
		for want, after := range map[string]time.Duration{"ab": 3500 * time.Millisecond} {
			expect(t, server, want[:1])
			if d := time.Since(start); d != time.Second {
				t.Errorf("first byte after %v", d)
			}
			expect(t, server, want[1:])
			if d := time.Since(start); d != after {
				t.Errorf("second byte after %v", d)
			}
		}
		if _, err := server.Read(make([]byte, 1)); err != io.EOF || time.Since(start) != 3500*time.Millisecond {
			t.Errorf("end: %v after %v", err, time.Since(start))
		}
	})
}

func TestCutResetsBothEnds(t *testing.T) {
	in(t, nil, func(t *testing.T, n *Network, l net.Listener) {
		client, server := pair(t, n, l)
		write(t, client, "lost")
		n.Cut(client.LocalAddr().String())
		for _, c := range []net.Conn{client, server} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read: %v", err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write: %v", err)
			}
		}
		client, server = pair(t, n, l)
		write(t, client, "new")
		expect(t, server, "new")
	})
}

func TestFrozenDataArrivesWhenHealed(t *testing.T) {
	in(t, nil, func(t *testing.T, n *Network, l net.Listener) {
		client, server := pair(t, n, l)
		n.Freeze("server")
		write(t, client, "late")
		_ = server.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		_ = server.SetReadDeadline(time.Time{})
		dialled := make(chan error, 1)
		go func() {
			_, err := n.Dial(t.Context(), "tcp", "server:80")
			dialled <- err
		}()
		synctest.Wait()
		if len(dialled) != 0 {
			t.Error("a dial got through")
		}
		n.Heal("server")
		expect(t, server, "late")
		if err := <-dialled; err != nil {
			t.Errorf("dial: %v", err)
		}
	})
}

func TestPartitionLeavesOthersAlone(t *testing.T) {
	in(t, nil, func(t *testing.T, n *Network, l net.Listener) {
		n.Partition("alice", "server")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.From("alice")(ctx, "tcp", "server:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("alice: %v", err)
		}
		bob, err := n.From("bob")(t.Context(), "tcp", "server:80")
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		write(t, bob, "hello")
		expect(t, server, "hello")
		if got := hostOf(server.RemoteAddr().String()); got != "bob" {
			t.Errorf("remote host %q", got)
		}
	})
}

func TestHalfOpenConnectionsDieWhenHealed(t *testing.T) {
	in(t, nil, func(t *testing.T, n *Network, l net.Listener) {
		client, server := pair(t, n, l)
		n.HalfOpen("server:80")
		write(t, client, "vanishes")
		_ = server.Close()
		write(t, client, "nobody says so")
		_ = client.SetReadDeadline(time.Now().Add(time.Hour))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		n.Heal("server:80")
		if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("write: %v", err)
		}
	})
}

func TestDialIsRefusedWhereNobodyListens(t *testing.T) {
	in(t, &Options{Backlog: 1}, func(t *testing.T, n *Network, l net.Listener) {
		try := func(addr string) error {
			_, err := n.Dial(t.Context(), "tcp", addr)
			return err
		}
		if err := try("nobody:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("no listener: %v", err)
		}
		n.Refuse("server", true)
		if err := try("server:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", err)
		}
		n.Refuse("server", false)
		if err := try("server:80"); err != nil {
			t.Error(err)
		}
		if err := try("server:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("backlog full: %v", err)
		}
		if _, err := n.Listen("server:80"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second listener: %v", err)
		}
		_ = l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
		if err := try("server:80"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("listener closed: %v", err)
		}
	})
}

func TestCloseOfTheListenerResetsWhatNobodyAccepted(t *testing.T) {
	in(t, nil, func(t *testing.T, n *Network, l net.Listener) {
		c, err := n.Dial(t.Context(), "tcp", "server:80")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v", err)
		}
	})
}

func TestHTTPServerRunsOnIt(t *testing.T) {
	in(t, &Options{Latency: time.Millisecond}, func(t *testing.T, n *Network, l net.Listener) {
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "hello "+r.RemoteAddr)
		}), ReadHeaderTimeout: time.Second}
		done := make(chan error, 1)
		go func() { done <- srv.Serve(l) }()
		transport := &http.Transport{DialContext: n.From("alice")}
		client := &http.Client{Transport: transport}
		for range 3 {
			resp, err := client.Get("http://server:80/")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || string(body) != "hello alice:40001" {
				t.Errorf("body %q, %v", body, err)
			}
		}
		transport.CloseIdleConnections()
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}
