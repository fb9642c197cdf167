package transport

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime/debug"
	"syscall"
	"testing"
	"time"
)

// BenchmarkFlush compares messages joined in one write with one write for each.
func BenchmarkFlush(b *testing.B) {
	for _, joined := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("joined=%d", joined), func(b *testing.B) {
			server := &counting{want: b.N, done: make(chan struct{})}
			conns := make(chan *Conn, 1)
			addr, _ := real().serve(b, nil, func(c *Conn) { conns <- c })
			c, err := Dial(b.Context(), "ws://"+addr, nil, nil)
			if err != nil {
				b.Fatal(err)
			}
			client := newRecorder().start(c)
			sc := <-conns
			sc.Start(server)
			message := []byte(pattern(128))
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				for c.Send(Data, message) != nil {
					c.Flush()
					<-client.writable
				}
				if (i+1)%joined == 0 || i == b.N-1 {
					c.Flush()
				}
			}
			<-server.done
			b.StopTimer()
			c.Abort(nil)
			sc.Abort(nil)
		})
	}
}

type counting struct {
	recorder
	got, want int
	done      chan struct{}
}

func (c *counting) HandleText([]byte) {
	if c.got++; c.got == c.want {
		close(c.done)
	}
}
func (c *counting) HandleClose(*CloseError) {}
func (c *counting) HandleWritable()         {}

// BenchmarkEcho gives the CPU time of both ends together for one round trip.
func BenchmarkEcho(b *testing.B) {
	for _, kind := range []string{"tcp", "wrapped"} {
		for _, size := range []int{128, 4096} {
			b.Run(fmt.Sprintf("%s/%d", kind, size), func(b *testing.B) {
				o := &Options{}
				if kind == "wrapped" {
					o.WrapConn = func(nc net.Conn) net.Conn { return struct{ net.Conn }{nc} }
				}
				s := real().open(b, o, o, newRecorder(), echoServer())
				turn := make(chan struct{}, 1)
				s.client.onText = func(*Conn, []byte) { turn <- struct{}{} }
				message := []byte(pattern(size))
				before := cpu(b)
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					if err := s.client.conn.Send(Data, message); err != nil {
						b.Fatal(err)
					}
					s.client.conn.Flush()
					<-turn
				}
				b.StopTimer()
				b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const idleServer = "PANDO_TRANSPORT_IDLE_SERVER"

// BenchmarkIdleMemory gives the resident memory of a server process for each idle
// accepted connection, on each of which one message has been echoed, by a handler
// that needs no stack and by one that needs 10 KiB.
func BenchmarkIdleMemory(b *testing.B) {
	for _, handler := range []string{"flat", "deep"} {
		b.Run(handler, func(b *testing.B) { benchmarkIdle(b, handler) })
	}
}

func benchmarkIdle(b *testing.B, handler string) {
	const connections = 5000
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), idleServer+"="+handler)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = in.Close(); _ = cmd.Wait() }()
	lines := bufio.NewScanner(out)
	ask := func() (s string) {
		if _, err := fmt.Fprintln(in); err != nil || !lines.Scan() {
			b.Fatal(err, lines.Err())
		}
		return lines.Text()
	}
	rss := func() (n int) {
		if _, err := fmt.Sscan(ask(), &n); err != nil {
			b.Fatal(err)
		}
		return n
	}
	addr := ask()
	dial := func(n int) {
		for range n {
			r := rawOpen(b, real(), addr, nil)
			r.write(frame(0x81, []byte(pattern(128))))
			r.expect(opText, pattern(128))
			r.br = nil
		}
	}
	dial(100)
	before := rss()
	dial(connections)
	after := rss()
	for b.Loop() { // there is nothing to repeat
	}
	b.ReportMetric(float64(after-before)/connections, "B/conn")
	b.ReportMetric(0, "ns/op")
}

// serveIdle is the server process of BenchmarkIdleMemory. It answers the first
// line on its input with its address, the others with its resident memory.
func serveIdle() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	depth := map[string]int{"flat": 0, "deep": 20}[os.Getenv(idleServer)]
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := Accept(w, r, nil); err == nil {
			c.Start(&echoer{c, depth})
		}
	})}
	go func() { _ = srv.Serve(l) }()
	defer func() { _ = srv.Close() }()
	lines := bufio.NewScanner(os.Stdin)
	for answer := l.Addr().String(); lines.Scan(); answer = "" {
		if answer == "" {
			for range 4 { // stacks are halved by each collection
				debug.FreeOSMemory()
			}
			answer = resident()
		}
		fmt.Println(answer)
	}
}

type echoer struct {
	c     *Conn
	depth int
}

func (e *echoer) HandleText(p []byte) {
	descend(e.depth)
	echo(e.c, p)
}

// descend uses n times 512 bytes of stack.
//
//go:noinline
func descend(n int) byte {
	var b [512]byte
	if n > 0 {
		b[n] = descend(n - 1)
	}
	return b[n/2]
}

func (e *echoer) HandlePong()             {}
func (e *echoer) HandleWritable()         {}
func (e *echoer) HandleClose(*CloseError) {}

func resident() string {
	var size, pages int
	b, err := os.ReadFile("/proc/self/statm")
	if err == nil {
		_, err = fmt.Sscan(string(b), &size, &pages)
	}
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(pages * os.Getpagesize())
}
