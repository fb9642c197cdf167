package cut

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connected returns both ends of a connection that the relay carries.
func connected(t *testing.T, r *relay) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = r.dial(t.Context(), "tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
		r.stop()
	})
	return client, server
}

func say(t *testing.T, from, to net.Conn, text string) {
	t.Helper()
	if _, err := from.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(to, b); err != nil || string(b) != text {
		t.Fatalf("read %q, %v, want %q", b, err, text)
	}
}

func TestCutResetsBothEnds(t *testing.T) {
	t.Parallel()
	var r relay
	client, server := connected(t, &r)
	say(t, client, server, "question")
	say(t, server, client, "answer")
	if n := r.cut(); n != 1 {
		t.Errorf("cut %d connections, want 1", n)
	}
	for name, c := range map[string]net.Conn{"client": client, "server": server} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s reads %v, want a reset", name, err)
		}
	}
	if n := r.cut(); n != 0 {
		t.Errorf("cut %d connections again, want none", n)
	}
}

func TestConnectionsAfterACutAreCarried(t *testing.T) {
	t.Parallel()
	var r relay
	connected(t, &r)
	r.cut()
	client, server := connected(t, &r)
	say(t, client, server, "again")
}

func TestEndOfOneSideEndsTheOther(t *testing.T) {
	t.Parallel()
	var r relay
	client, server := connected(t, &r)
	_ = client.Close()
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("server reads %v, want the end", err)
	}
	r.wg.Wait()
	if n := r.cut(); n != 0 {
		t.Errorf("%d connections are left, want none", n)
	}
}
