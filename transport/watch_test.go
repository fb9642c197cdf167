package transport

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pando-agents/pando/transport/memnet"
)

// drawStream draws a stream of frames, most of them in order.
func drawStream(t *rapid.T) []byte {
	var stream []byte
	for range rapid.IntRange(0, 8).Draw(t, "frames") {
		first := rapid.SampledFrom([]byte{0x81, 0x81, 0x81, 0x01, 0x00, 0x80, 0x89, 0x8A, 0x82}).Draw(t, "first")
		size := rapid.SampledFrom([]int{0, 1, 100, 125, 126, 500, 70000}).Draw(t, "size")
		f := appendFrame(nil, rapid.Bool().Draw(t, "masked"), 0, make([]byte, size))
		f[0] = first
		stream = append(stream, f...)
	}
	if rapid.IntRange(0, 3).Draw(t, "tail") == 0 {
		stream = append(stream, length64(rapid.Uint64().Draw(t, "length"))...)
	}
	return stream
}

func TestWatchComesToTheSameEndHoweverTheStreamIsCut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		stream := drawStream(t)
		var whole watch
		_, want := whole.scan(stream, 1000)
		var pieces watch
		var got *violation
		for rest := stream; len(rest) > 0 && got == nil; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			var ok int
			if ok, got = pieces.scan(rest[:n], 1000); ok > n || got == nil && ok != n {
				t.Fatalf("scan of %d bytes took %d", n, ok)
			}
			rest = rest[n:]
		}
		if (want == nil) != (got == nil) || want != nil && *want != *got {
			t.Fatalf("got %v, want %v", got, want)
		}
		if want == nil && whole.unfinished() != pieces.unfinished() {
			t.Fatalf("unfinished: got %v, want %v", pieces.unfinished(), whole.unfinished())
		}
	})
}

func TestWatchHandsOnNothingOfTheOffendingFrame(t *testing.T) {
	t.Parallel()
	var w watch
	good := frame(0x81, []byte("good"))
	ok, v := w.scan(join(good, frame(0x82, []byte("bad"))), 1000)
	if ok != len(good) || v == nil || v.code != CodeUnsupported {
		t.Errorf("got %d, %v", ok, v)
	}
}

// FuzzPeer sends any bytes to a server and to a client.
func FuzzPeer(f *testing.F) {
	for _, seed := range [][]byte{
		nil, frame(0x81, []byte("text")), length64(1 << 63), length64(1<<64 - 1), closeFrame(1000, "bye"),
		join(frame(0x01, []byte("a")), frame(0x89, []byte("p")), frame(0x80, []byte("b"))),
		[]byte("\x81\x05hello"), []byte("\x88\x00"), []byte("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
		frame(0xF1, []byte("x")), {0x81}, {0x00, 0x80, 0, 0, 0, 0},
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, stream []byte, client bool) {
		n := memnet.New(nil)
		l, err := n.Listen("server:1")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		nc, err := n.Dial(t.Context(), "tcp", "server:1")
		if err != nil {
			t.Fatal(err)
		}
		peer, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c, err := newConn(&Options{MaxMessage: 1000, CloseTimeout: time.Second, Logger: quiet}, nc, client, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := newRecorder().start(c)
		if _, err := peer.Write(stream); err != nil {
			t.Fatal(err)
		}
		_ = peer.Close()
		end := r.end(t)
		if errors.Is(end, ErrPanic) || end.Code < 1000 || end.Code > 4999 {
			t.Errorf("ended with %v", end)
		}
		for len(r.texts) > 0 {
			if s := <-r.texts; len(s) > 1000 {
				t.Errorf("message of %d bytes", len(s))
			}
		}
	})
}

func TestTimersComeFromTheOptions(t *testing.T) {
	t.Parallel()
	type timer struct {
		d    time.Duration
		fire func()
	}
	timers := make(chan timer, 10)
	o := &Options{CloseTimeout: 7 * time.Hour, WriteTimeout: 9 * time.Hour,
		AfterFunc: func(d time.Duration, f func()) func() bool {
			timers <- timer{d, f}
			return func() bool { return true }
		}}
	server := newRecorder()
	r := rawSession(t, real(), o, server, nil)
	server.conn.Close(1000, "")
	if first := <-timers; first.d != 9*time.Hour {
		t.Errorf("flush may take %v", first.d)
	}
	r.expect(opClose, "\x03\xe8")
	second := <-timers
	if second.d != 7*time.Hour {
		t.Errorf("the answer may take %v", second.d)
	}
	second.fire()
	if err := server.end(t); !errors.Is(err, ErrCloseTimeout) {
		t.Errorf("server: %v", err)
	}
}
