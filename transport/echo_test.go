package transport

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/pando-agents/pando/transport/memnet"
)

func echoServer() *recorder {
	r := newRecorder()
	r.onText = echo
	return r
}

func checkEcho(t *testing.T, client *recorder) {
	t.Helper()
	for _, n := range []int{0, 1, 2, 14, 16, 125, 126, 511, 512, 513, 4096, 16383, 16384, 65535, 65536, 70000, 1 << 20} {
		want := pattern(n)
		if err := client.conn.Send(Data, []byte(want)); err != nil {
			t.Fatal(err)
		}
		client.conn.Flush()
		if got := client.text(t); got != want {
			t.Fatalf("message of %d bytes came back with %d bytes", n, len(got))
		}
	}
}

func TestMessagesOfAllSizesComeThroughTCP(t *testing.T) {
	t.Parallel()
	s := real().open(t, nil, nil, newRecorder(), echoServer())
	checkEcho(t, s.client)
	s.client.conn.Close(CodeNormal, "done")
	if err := s.client.end(t); err.Code != CodeNormal || err.Remote || err.Err != nil || err.Reason != "done" {
		t.Errorf("client: %+v", err)
	}
	if err := s.server.end(t); err.Code != CodeNormal || !err.Remote || err.Err != nil || err.Reason != "done" {
		t.Errorf("server: %+v", err)
	}
}

func TestMessagesOfAllSizesComeThroughMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := memory(memnet.New(nil))
		s := w.open(t, nil, nil, newRecorder(), echoServer())
		checkEcho(t, s.client)
		s.server.conn.Close(3000, "bye")
		if err := s.client.end(t); err.Code != 3000 || !err.Remote || err.Err != nil || err.Reason != "bye" {
			t.Errorf("client: %+v", err)
		}
		if err := s.server.end(t); err.Code != 3000 || err.Remote || err.Err != nil {
			t.Errorf("server: %+v", err)
		}
		s.stop()
	})
}

func TestConnectionThatIsHandedOverTellsItsNewHandlerOnly(t *testing.T) {
	t.Parallel()
	first, second := newRecorder(), newRecorder()
	first.onText = func(c *Conn, p []byte) {
		second.conn = c
		c.HandOver(second)
		echo(c, p)
	}
	s := real().open(t, nil, nil, newRecorder(), first)
	for _, text := range []string{"one", "two", "three"} {
		if err := s.client.conn.Send(Data, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	s.client.conn.Flush()
	if got := s.client.text(t); got != "one" {
		t.Errorf("the first handler answered %q", got)
	}
	if got := second.text(t) + " " + second.text(t); got != "two three" {
		t.Errorf("the second handler got %q", got)
	}
	if err := second.conn.Ping(); err != nil {
		t.Fatal(err)
	}
	<-second.pongs
	s.client.conn.Close(CodeNormal, "")
	second.end(t)
	if len(first.pongs)+len(first.closed) != 0 {
		t.Error("the first handler was told what came later")
	}
}

func TestConcurrentSendsStayWholeAndInOrder(t *testing.T) {
	t.Parallel()
	const senders, each = 50, 100
	server := newRecorder()
	s := real().open(t, nil, nil, newRecorder(), server)
	message := func(i, j int) string {
		n := i * j % 700
		if i < 10 { // those in the control lane, which is small
			n %= 20
		}
		return fmt.Sprintf("%d %d %s", i, j, strings.Repeat(string(rune('a'+i%26)), n))
	}
	var wg sync.WaitGroup
	for i := range senders {
		lane := Data
		if i < 10 {
			lane = Control
		}
		wg.Go(func() {
			for j := range each {
				if err := s.client.conn.Send(lane, []byte(message(i, j))); err != nil {
					t.Errorf("send: %v", err)
					return
				}
				s.client.conn.Flush()
			}
		})
	}
	next := make([]int, senders)
	for range senders * each {
		var i, j int
		m := server.text(t)
		if _, err := fmt.Sscanf(m, "%d %d", &i, &j); err != nil {
			t.Fatalf("%q: %v", m, err)
		}
		if m != message(i, j) {
			t.Fatalf("message is not whole: %q", m)
		}
		if next[i] != j {
			t.Fatalf("sender %d: got %d, want %d", i, j, next[i])
		}
		next[i]++
	}
	wg.Wait()
}
