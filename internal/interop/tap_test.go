package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"sync"
	"testing"
)

// tap stands before a WebSocket endpoint and counts the frames (RFC 6455 §5.2)
// that pass, without touching them: both ends keep their own pings and closes.
type tap struct {
	url    string
	target string

	mu      sync.Mutex
	counts  map[string]int
	changed chan struct{}
	open    map[net.Conn]bool
	done    bool
	ended   sync.WaitGroup
}

// newTap returns a tap before target. It counts, for "client" and "server":
// "ping", "pong", "close CODE", and of the messages "heartbeat" and "text", which
// are all the others.
func newTap(t *testing.T, target string) *tap {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{target: u.Host, counts: make(map[string]int), changed: make(chan struct{}), open: make(map[net.Conn]bool)}
	u.Host = listener.Addr().String()
	p.url = u.String()
	p.ended.Go(func() { p.accept(listener) })
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		p.done = true
		p.mu.Unlock()
		p.cut()
		p.ended.Wait()
	})
	return p
}

func (p *tap) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		p.ended.Go(func() { p.join(client) })
	}
}

// join relays one connection until both directions have ended.
func (p *tap) join(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	if p.done {
		p.mu.Unlock()
		return
	}
	p.open[client], p.open[server] = true, true
	p.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { p.relay("server", client, server) })
	p.relay("client", server, client)
	back.Wait()
	p.mu.Lock()
	delete(p.open, client)
	delete(p.open, server)
	p.mu.Unlock()
}

// cut breaks all connections, as a network does: without a close frame.
func (p *tap) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

// relay passes on what one side says: the HTTP part of it, then frame by frame.
func (p *tap) relay(from string, to, of net.Conn) {
	defer func() {
		if half, ok := to.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}()
	r := bufio.NewReader(of)
	for line := []byte(nil); !bytes.Equal(line, []byte("\r\n")); {
		var err error
		if line, err = r.ReadBytes('\n'); err != nil {
			_, _ = to.Write(line)
			return
		}
		if _, err := to.Write(line); err != nil {
			return
		}
	}
	for {
		raw, opcode, payload, err := readFrame(r)
		if err != nil {
			return
		}
		p.count(from, opcode, payload)
		if _, err := to.Write(raw); err != nil {
			return
		}
	}
}

// readFrame returns a frame as it is on the wire, and what it says.
func readFrame(r io.Reader) (raw []byte, opcode byte, payload []byte, err error) {
	var frame bytes.Buffer
	r = io.TeeReader(r, &frame)
	head := make([]byte, 14)
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return nil, 0, nil, err
	}
	size := uint64(head[1] & 0x7f)
	switch size {
	case 126:
		_, err = io.ReadFull(r, head[2:4])
		size = uint64(binary.BigEndian.Uint16(head[2:4]))
	case 127:
		_, err = io.ReadFull(r, head[2:10])
		size = binary.BigEndian.Uint64(head[2:10])
	}
	if err != nil {
		return nil, 0, nil, err
	}
	var mask [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return nil, 0, nil, err
		}
	}
	payload = make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return nil, 0, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return frame.Bytes(), head[0] & 0x0f, payload, nil
}

func (p *tap) count(from string, opcode byte, payload []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch opcode {
	case 0x1:
		if bytes.Contains(payload, []byte(`"channel.heartbeat"`)) {
			p.counts[from+" heartbeat"]++
		} else {
			p.counts[from+" text"]++
		}
	case 0x8:
		code := uint16(1005)
		if len(payload) >= 2 {
			code = binary.BigEndian.Uint16(payload)
		}
		p.counts[fmt.Sprint(from, " close ", code)]++
	case 0x9:
		p.counts[from+" ping"]++
	case 0xa:
		p.counts[from+" pong"]++
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// wait returns once at least so many of each kind have passed.
func (p *tap) wait(ctx context.Context, want map[string]int) error {
	for {
		p.mu.Lock()
		counts, changed := maps.Clone(p.counts), p.changed
		p.mu.Unlock()
		enough := true
		for kind, n := range want {
			enough = enough && counts[kind] >= n
		}
		if enough {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for frames, %v so far: %w", counts, ctx.Err())
		}
	}
}

// seen returns how many of one kind have passed.
func (p *tap) seen(kind string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[kind]
}
