package pando_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pando-agents/pando/identity"
)

// The opcodes of RFC 6455 §5.2.
const (
	opContinue = 0x0
	opText     = 0x1
	opBinary   = 0x2
	opClose    = 0x8
	opPing     = 0x9
	opPong     = 0xA
)

// raw is a client that says on the wire whatever a test wants.
type raw struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	self string // agent id
	to   string
	id   string // channel id
	sent int

	patience time.Duration // with a read; 0 is the usual
}

// handshake sends an upgrade request with these headers and returns the answer.
func handshake(t *testing.T, conn net.Conn, wsURL string, header http.Header) (*http.Response, *bufio.Reader) {
	t.Helper()
	u, err := url.Parse(wsURL)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: header.Clone(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if r.Header == nil {
		r.Header = http.Header{}
	}
	for k, v := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		r.Header.Set(k, v)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	if err := r.Write(conn); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(conn)
	answer, err := http.ReadResponse(br, r)
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	_ = conn.SetDeadline(time.Time{})
	return answer, br
}

// dialHeader returns the headers of a good handshake with to.
func (w *world) dialHeader(creds identity.Credentials, to *node, wsURL string) http.Header {
	w.t.Helper()
	c, err := identity.NewClient(identity.ClientOptions{Credentials: creds, HTTP: w.reg.Client})
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	header, token, err := c.DialHeader(w.t.Context(), to.ID(), wsURL)
	if err != nil {
		w.t.Fatal(err)
	}
	w.secrets = append(w.secrets, token.Value, header.Get("DPoP"))
	return header
}

// tcp connects to a node.
func (w *world) tcp(to *node) net.Conn {
	w.t.Helper()
	conn, err := w.dial("127.0.0.9")(context.Background(), "tcp", to.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// raw makes an authenticated connection on which nothing has been said yet.
func (w *world) raw(creds identity.Credentials, to *node) *raw {
	w.t.Helper()
	conn := w.tcp(to)
	answer, in := handshake(w.t, conn, to.url, w.dialHeader(creds, to, to.url))
	if answer.StatusCode != http.StatusSwitchingProtocols {
		body, _ := io.ReadAll(answer.Body)
		w.t.Fatalf("handshake: %s: %s", answer.Status, body)
	}
	return &raw{t: w.t, conn: conn, in: in, self: creds.AgentID, to: to.ID()}
}

// rawOpen is raw with an open channel.
func (w *world) rawOpen(creds identity.Credentials, to *node) *raw {
	w.t.Helper()
	c := w.raw(creds, to)
	c.open(newID())
	return c
}

// frame makes a masked frame.
func frame(first byte, payload []byte) []byte {
	head := []byte{first, 0x80}
	switch n := len(payload); {
	case n < 126:
		head[1] |= byte(n)
	case n < 1<<16:
		head[1] |= 126
		head = binary.BigEndian.AppendUint16(head, uint16(n))
	default:
		head[1] |= 127
		head = binary.BigEndian.AppendUint64(head, uint64(n))
	}
	mask := []byte{0x12, 0x34, 0x56, 0x78}
	out := append(head, mask...)
	for i, b := range payload {
		out = append(out, b^mask[i%4])
	}
	return out
}

// write puts bytes on the wire. The other end may be gone already.
func (c *raw) write(p []byte) {
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
	_, _ = c.conn.Write(p)
}

func (c *raw) text(s string) { c.write(frame(0x80|opText, []byte(s))) }

// message sends an envelope and returns its id.
func (c *raw) message(typ, data string) string {
	id := newID()
	c.text(c.envelope(id, typ, data, c.self))
	return id
}

func (c *raw) envelope(id, typ, data, sender string) string {
	c.sent++
	if data == "" {
		data = "{}"
	}
	return fmt.Sprintf(`{"meta":{"message_id":%q,"channel_id":%q,"sequence":%d,"timestamp":"2026-03-01T09:30:00.123456+00:00",`+
		`"sender":%q,"recipient":%q,"reply_to":null},"content":{"type":%q,"data":%s}}`,
		id, c.id, c.sent, sender, c.to, typ, data)
}

const openData = `{"protocol_version":"1.0","capabilities":["json"]}`

// open opens the channel and waits for the accept.
func (c *raw) open(channelID string) {
	c.t.Helper()
	c.id = channelID
	id := c.message("channel.open", openData)
	if m := c.next(); m.Content.Type != "channel.accept" || m.Meta.ReplyTo != id {
		c.t.Fatalf("answer to open: %+v", m)
	}
}

type wireMessage struct {
	Meta struct {
		MessageID string `json:"message_id"`
		ReplyTo   string `json:"reply_to"`
	} `json:"meta"`
	Content struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	} `json:"content"`
}

// code is data.code of an error message.
func (m wireMessage) code() string {
	var d struct{ Code string }
	_ = json.Unmarshal(m.Content.Data, &d)
	return d.Code
}

// readFrame reads one frame of the server.
func (c *raw) readFrame() (op byte, payload []byte, err error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(max(patience, c.patience)))
	var head [2]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1] & 0x7F)
	size := map[uint64]int{126: 2, 127: 8}[n]
	var long [8]byte
	if _, err := io.ReadFull(c.in, long[8-size:]); err != nil {
		return 0, nil, err
	}
	if size > 0 {
		n = binary.BigEndian.Uint64(long[:])
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.in, payload)
	return head[0] & 0xF, payload, err
}

// next returns the next message.
func (c *raw) next() wireMessage {
	c.t.Helper()
	for {
		op, payload, err := c.readFrame()
		switch {
		case err != nil:
			c.t.Fatalf("read: %v", err)
		case op == opPing:
			c.write(frame(0x80|opPong, payload))
		case op == opClose:
			c.t.Fatalf("closed: %s", closeText(payload))
		case op == opText:
			var m wireMessage
			if err := json.Unmarshal(payload, &m); err != nil {
				c.t.Fatalf("%v in %s", err, payload)
			}
			return m
		}
	}
}

func closeText(payload []byte) string {
	if len(payload) < 2 {
		return "no code"
	}
	return fmt.Sprintf("%d %s", binary.BigEndian.Uint16(payload), payload[2:])
}

// ends reads to the end and returns the close frame as "code reason", or "cut".
func (c *raw) ends() string {
	c.t.Helper()
	for {
		op, payload, err := c.readFrame()
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			c.t.Fatal("the connection does not end")
		case err != nil:
			return "cut"
		case op == opClose:
			c.write(frame(0x80|opClose, payload[:min(2, len(payload))]))
			_ = c.conn.Close()
			return closeText(payload)
		}
	}
}

// wantEnd checks how the connection ends.
func (c *raw) wantEnd(prefix string) {
	c.t.Helper()
	if got := c.ends(); !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("connection ended with %q, want %q", got, prefix)
	}
}
