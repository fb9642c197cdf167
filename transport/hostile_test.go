package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"runtime/metrics"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pando-agents/pando/transport/memnet"
)

// rawSession is a raw client against a server of ours.
func rawSession(t *testing.T, w world, so *Options, server *recorder, extra []byte) *raw {
	t.Helper()
	conns := make(chan *Conn, 1)
	addr, _ := w.serve(t, so, func(c *Conn) { conns <- c })
	r := rawOpen(t, w, addr, extra)
	server.start(<-conns)
	t.Cleanup(func() { server.conn.Abort(nil) })
	return r
}

// length64 is the header of a masked text frame that claims n bytes.
func length64(n uint64) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{0x81, 0xFF}, n), 1, 2, 3, 4)
}

func TestFramesAgainstTheRulesFailTheConnection(t *testing.T) {
	t.Parallel()
	const limit = 1000
	unmasked := appendFrame(nil, false, opText, []byte("hi"))
	badMask := frame(0x81, []byte("\xff\xfe"))
	for name, test := range map[string]struct {
		send []byte
		code int
	}{
		"length with its top bit set":         {length64(1 << 63), CodeProtocol},
		"length of all ones":                  {length64(1<<64 - 1), CodeProtocol},
		"length of half the address space":    {length64(1<<63 - 1), CodeTooBig},
		"ping with a 64-bit length":           {append([]byte{0x89}, length64(1 << 63)[1:]...), CodeProtocol},
		"frame over the limit":                {frame(0x81, make([]byte, limit+1)), CodeTooBig},
		"header over the limit, no payload":   {length64(limit + 1), CodeTooBig},
		"fragments over the limit":            {join(frame(0x01, make([]byte, 600)), frame(0x80, make([]byte, 600))), CodeTooBig},
		"text that is not UTF-8":              {badMask, CodeInvalidData},
		"rune cut off at the end":             {frame(0x81, []byte("\xe2\x82")), CodeInvalidData},
		"UTF-8 wrong over two fragments":      {join(frame(0x01, []byte("\xe2")), frame(0x80, []byte("x"))), CodeInvalidData},
		"unmasked frame":                      {unmasked, CodeProtocol},
		"binary message":                      {frame(0x82, []byte("x")), CodeUnsupported},
		"binary fragment":                     {frame(0x02, []byte("x")), CodeUnsupported},
		"reserved data opcode":                {frame(0x83, []byte("x")), CodeProtocol},
		"reserved control opcode":             {frame(0x8B, []byte("x")), CodeProtocol},
		"reserved bit 1":                      {frame(0xC1, []byte("x")), CodeProtocol},
		"reserved bit 3":                      {frame(0x91, []byte("x")), CodeProtocol},
		"fragmented ping":                     {frame(0x09, []byte("x")), CodeProtocol},
		"ping of 126 bytes":                   {frame(0x89, make([]byte, 126)), CodeProtocol},
		"continuation of nothing":             {frame(0x80, []byte("x")), CodeProtocol},
		"new message within a message":        {join(frame(0x01, []byte("x")), frame(0x81, []byte("y"))), CodeProtocol},
		"close frame with a body of one byte": {frame(0x88, []byte{3}), CodeProtocol},
		"close code 1005":                     {frame(0x88, []byte{3, 0xED}), CodeProtocol},
		"close code 999":                      {closeFrame(999, ""), CodeProtocol},
		"close code 5000":                     {closeFrame(5000, ""), CodeProtocol},
		"close reason that is not UTF-8":      {frame(0x88, []byte("\x03\xe8\xff")), CodeInvalidData},
		"garbage":                             {[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), CodeProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, where := range []string{"socket", "memory"} {
				t.Run(where, func(t *testing.T) {
					run := func(t *testing.T, w world) {
						server := newRecorder()
						r := rawSession(t, w, &Options{MaxMessage: limit, Logger: quiet}, server, nil)
						// A message before the offending frame still comes through.
						r.write(append(frame(0x81, []byte("before")), test.send...))
						if got := server.text(t); got != "before" {
							t.Errorf("got %q first", got)
						}
						r.expectClose(test.code)
						_ = r.nc.Close()
						err := server.end(t)
						if err.Code != test.code || err.Remote || !errors.Is(err, ErrProtocol) {
							t.Errorf("server: %v", err)
						}
						if len(server.texts) != 0 {
							t.Errorf("got %q", <-server.texts)
						}
					}
					if where == "socket" {
						t.Parallel()
						run(t, real())
						return
					}
					synctest.Test(t, func(t *testing.T) { run(t, memory(memnet.New(nil))) })
				})
			}
		})
	}
}

func TestMessageOfExactlyTheLimitIsAccepted(t *testing.T) {
	t.Parallel()
	server := newRecorder()
	r := rawSession(t, real(), &Options{MaxMessage: 1000}, server, nil)
	r.write(join(frame(0x01, []byte(pattern(600))), frame(0x80, []byte(pattern(400))), frame(0x81, []byte(pattern(1000)))))
	for range 2 {
		if got := server.text(t); len(got) != 1000 {
			t.Fatalf("got %d bytes", len(got))
		}
	}
}

func TestFragmentsAreJoinedAndPingsBetweenThemAnswered(t *testing.T) {
	t.Parallel()
	server := newRecorder()
	r := rawSession(t, real(), nil, server, nil)
	r.write(frame(0x01, []byte("one ")))
	r.write(frame(0x89, []byte("payload")))
	r.expect(opPong, "payload")
	r.write(join(frame(0x00, []byte("two ")), frame(0x00, nil), frame(0x8A, []byte("unasked")), frame(0x80, []byte("three"))))
	if got := server.text(t); got != "one two three" {
		t.Errorf("got %q", got)
	}
	if len(server.pongs) != 1 {
		t.Errorf("%d pongs", len(server.pongs))
	}
}

func TestFramesCutAnywhereAreUnderstood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := echoServer()
		r := rawSession(t, memory(memnet.New(nil)), nil, server, nil)
		stream := join(frame(0x81, []byte("a")), frame(0x01, []byte(pattern(300))), frame(0x89, []byte("p")),
			frame(0x80, []byte("end")), frame(0x81, []byte(pattern(70000))))
		for i := range stream {
			r.write(stream[i : i+1])
			synctest.Wait()
		}
		r.expect(opText, "a")
		r.expect(opPong, "p")
		r.expect(opText, pattern(300)+"end")
		r.expect(opText, pattern(70000))
	})
}

func TestBytesSentAlongWithTheHandshakeAreNotLost(t *testing.T) {
	t.Parallel()
	server := newRecorder()
	rawSession(t, real(), nil, server, join(frame(0x81, []byte("early")), frame(0x81, []byte(pattern(3000)))))
	if a, b := server.text(t), server.text(t); a != "early" || b != pattern(3000) {
		t.Errorf("got %q and %d bytes", a, len(b))
	}
}

func TestPingFloodIsClosedAndDoesNotGrowTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newRecorder()
		r := rawSession(t, memory(memnet.New(nil)), nil, server, nil)
		r.write(bytes.Repeat(frame(0x89, []byte("first")), maxPings))
		synctest.Wait()
		if n := server.conn.Buffered(); n > maxHeader+maxControl {
			t.Errorf("%d bytes queued", n)
		}
		r.expect(opPong, "first")
		time.Sleep(2 * time.Second)
		// Those that came in one read are answered once, with the latest.
		for r.br.Buffered() > 0 {
			r.expect(opPong, "first")
		}
		r.write(frame(0x89, []byte("slower")))
		r.expect(opPong, "slower")
		r.write(bytes.Repeat(frame(0x89, nil), maxPings))
		for {
			op, p, err := r.read()
			if err != nil {
				t.Fatal(err)
			}
			if op == opClose {
				if code := int(binary.BigEndian.Uint16(p)); code != CodePolicy {
					t.Errorf("close code %d", code)
				}
				break
			}
		}
		_ = r.nc.Close()
		if err := server.end(t); err.Code != CodePolicy {
			t.Errorf("server: %v", err)
		}
	})
}

func TestUnfinishedMessageIsCutAfterMessageTimeout(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ begin, more []byte }{
		"half a header":         {begin: []byte{0x81}},
		"header only":           {length64(1 << 20), []byte{0, 0}},
		"fragment":              {frame(0x01, []byte("x")), frame(0x00, []byte("y"))},
		"fragment and pings":    {join(frame(0x01, []byte("x")), frame(0x89, nil)), frame(0x89, nil)},
		"part of a large frame": {append(length64(1<<20), make([]byte, 50000)...), make([]byte, 50000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := newRecorder()
				r := rawSession(t, memory(memnet.New(nil)), &Options{MessageTimeout: 5 * time.Second}, server, nil)
				start := time.Now()
				r.write(test.begin)
				time.Sleep(4 * time.Second)
				r.write(test.more) // does not buy more time
				err := server.end(t)
				if err.Code != CodeAbnormal || !errors.Is(err, ErrMessageTimeout) || time.Since(start) != 5*time.Second {
					t.Errorf("got %v after %v", err, time.Since(start))
				}
			})
		})
	}
}

func TestSlowButFinishedMessagesAreNotCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := newRecorder()
		r := rawSession(t, memory(memnet.New(nil)), &Options{MessageTimeout: 5 * time.Second}, server, nil)
		for range 5 {
			f := frame(0x81, []byte("message"))
			r.write(f[:5])
			time.Sleep(4 * time.Second)
			r.write(append(f[5:], f[:5]...)) // the next begins with the end of the last
			time.Sleep(4 * time.Second)
			r.write(f[5:])
			for range 2 {
				if got := server.text(t); got != "message" {
					t.Fatalf("got %q", got)
				}
			}
			time.Sleep(time.Minute) // idle between messages is no offence
		}
	})
}

func TestUnfinishedMessageIsCutOnSockets(t *testing.T) {
	t.Parallel()
	server := newRecorder()
	r := rawSession(t, real(), &Options{MessageTimeout: 50 * time.Millisecond}, server, nil)
	r.write(length64(1 << 20))
	if err := server.end(t); !errors.Is(err, ErrMessageTimeout) {
		t.Errorf("got %v", err)
	}
}

func TestPeerThatGoesAwayIsACut(t *testing.T) {
	t.Parallel()
	t.Run("end of stream", func(t *testing.T) {
		t.Parallel()
		server := newRecorder()
		r := rawSession(t, real(), nil, server, nil)
		_ = r.nc.Close()
		err := server.end(t)
		if err.Code != CodeAbnormal || err.Remote || !errors.Is(err, ErrCut) || strings.HasSuffix(err.Error(), "EOF") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		t.Parallel()
		server := newRecorder()
		r := rawSession(t, real(), nil, server, nil)
		if err := r.nc.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		_ = r.nc.Close()
		err := server.end(t)
		if err.Code != CodeAbnormal || !errors.Is(err, ErrCut) || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("reset in memory", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			n := memnet.New(nil)
			s := memory(n).open(t, nil, nil, newRecorder(), newRecorder())
			n.Cut("server:80")
			for _, r := range []*recorder{s.client, s.server} {
				if err := r.end(t); err.Code != CodeAbnormal || !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("got %v", err)
				}
			}
			s.stop()
		})
	})
}

func TestHeaderOnlyFrameOverTheLimitAllocatesNothing(t *testing.T) {
	server := newRecorder()
	r := rawSession(t, real(), &Options{MaxMessage: 1 << 20}, server, nil)
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	before := sample[0].Value.Uint64()
	r.write(length64(1 << 30))
	r.expectClose(CodeTooBig)
	metrics.Read(sample)
	if grown := sample[0].Value.Uint64() - before; grown > 1<<20 {
		t.Errorf("%d bytes allocated", grown)
	}
}

func TestRequestsThatAreNoHandshakeAreRefused(t *testing.T) {
	t.Parallel()
	addr, _ := real().serve(t, nil, func(c *Conn) { c.Abort(nil); t.Error("accepted") })
	good := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"},
		"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for name, test := range map[string]struct {
		method string
		change func(h http.Header)
		status int
	}{
		"POST":           {"POST", func(http.Header) {}, 405},
		"no upgrade":     {"GET", func(h http.Header) { h.Del("Upgrade") }, 426},
		"no connection":  {"GET", func(h http.Header) { h.Del("Connection") }, 426},
		"another":        {"GET", func(h http.Header) { h.Set("Upgrade", "h2c") }, 426},
		"version 8":      {"GET", func(h http.Header) { h.Set("Sec-WebSocket-Version", "8") }, 426},
		"two versions":   {"GET", func(h http.Header) { h.Add("Sec-WebSocket-Version", "8") }, 426},
		"no key":         {"GET", func(h http.Header) { h.Del("Sec-WebSocket-Key") }, 400},
		"short key":      {"GET", func(h http.Header) { h.Set("Sec-WebSocket-Key", "AAAA") }, 400},
		"two keys":       {"GET", func(h http.Header) { h.Add("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==") }, 400},
		"key not base64": {"GET", func(h http.Header) { h.Set("Sec-WebSocket-Key", "!!!!!!!!!!!!!!!!!!!!!!!!") }, 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, "http://"+addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = good.Clone()
		test.change(req.Header)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != test.status {
			t.Errorf("%s: status %d, want %d", name, resp.StatusCode, test.status)
		}
	}
}
