package pypeer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/lxzan/gws"
)

// relayLimit is uvicorn's own message limit, the largest any side has.
const relayLimit = 16 << 20

// Frame is one line of a transcript: a text or binary message, or how one side
// ended the connection.
type Frame struct {
	// From is "client" or "server".
	From string `json:"from"`
	// Frame is the text as it was on the wire.
	Frame string `json:"frame"`
	// Close is the WebSocket close code with which From ended the connection
	// (1005: without a code, 1006: without a close frame); then Frame is the reason. 0 for messages.
	Close int `json:"close,omitempty"`
}

// Relay stands between a dialling and a listening peer and records what they say.
type Relay struct {
	// URL is the ws:// address to dial.
	URL string

	target string
	ended  sync.WaitGroup

	mu      sync.Mutex
	frames  []Frame
	changed chan struct{}
}

// NewRelay starts a relay to the WebSocket address target. It passes messages,
// close codes and the Authorization header on, answers pings itself and declines
// compression. A refused upgrade is refused with the same status. It ends with the test.
func NewRelay(t testing.TB, target string) *Relay {
	t.Helper()
	r := &Relay{target: target, changed: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(r.serve))
	r.URL = "ws" + server.URL[len("http"):]
	t.Cleanup(func() {
		server.Close()
		r.ended.Wait()
	})
	return r
}

// Frames returns what has passed so far, in the order in which it passed.
func (r *Relay) Frames() []Frame {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Frame(nil), r.frames...)
}

// Wait waits until enough reports true of what has passed so far, and returns that.
func (r *Relay) Wait(ctx context.Context, enough func([]Frame) bool) ([]Frame, error) {
	for {
		r.mu.Lock()
		frames, changed := append([]Frame(nil), r.frames...), r.changed
		r.mu.Unlock()
		if enough(frames) {
			return frames, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return frames, fmt.Errorf("waiting for frames, %d so far: %w", len(frames), ctx.Err())
		}
	}
}

func (r *Relay) record(f Frame) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, f)
	close(r.changed)
	r.changed = make(chan struct{})
}

// serve relays one connection; it returns when both its sides have ended.
func (r *Relay) serve(w http.ResponseWriter, req *http.Request) {
	r.ended.Add(1)
	defer r.ended.Done()
	var ended sync.Once
	fromServer, fromClient := &side{relay: r, from: "server", ended: &ended}, &side{relay: r, from: "client", ended: &ended}
	header := http.Header{}
	if value := req.Header.Get("Authorization"); value != "" {
		header.Set("Authorization", value)
	}
	server, response, err := gws.NewClient(fromServer, &gws.ClientOption{
		Addr: r.target, RequestHeader: header, ReadMaxPayloadSize: relayLimit, CheckUtf8Enabled: true,
	})
	if err != nil {
		status := http.StatusBadGateway
		if response != nil {
			status = response.StatusCode
		}
		http.Error(w, "the target refused", status)
		return
	}
	upgrader := gws.NewUpgrader(fromClient, &gws.ServerOption{ReadMaxPayloadSize: relayLimit, CheckUtf8Enabled: true})
	client, err := upgrader.Upgrade(w, req)
	if err != nil {
		_ = server.NetConn().Close()
		return
	}
	fromServer.peer, fromClient.peer = client, server
	var reading sync.WaitGroup
	reading.Go(server.ReadLoop)
	client.ReadLoop()
	reading.Wait()
}

// side handles what one of the two peers sends.
type side struct {
	gws.BuiltinEventHandler
	relay *Relay
	from  string
	peer  *gws.Conn
	ended *sync.Once
}

// OnMessage passes a message on. It is recorded first, so that the transcript
// never has an answer before its question.
func (s *side) OnMessage(_ *gws.Conn, message *gws.Message) {
	defer message.Close()
	s.relay.record(Frame{From: s.from, Frame: message.Data.String()})
	_ = s.peer.WriteMessage(message.Opcode, message.Bytes())
}

// OnPing echoes the payload, which the built-in handler does not.
func (s *side) OnPing(conn *gws.Conn, payload []byte) { _ = conn.WritePong(payload) }

// OnClose passes the close code on and ends the other side, unless that is where
// the end came from.
func (s *side) OnClose(_ *gws.Conn, err error) {
	s.ended.Do(func() {
		f := Frame{From: s.from, Close: 1006}
		var closed *gws.CloseError
		if errors.As(err, &closed) {
			f.Close, f.Frame = int(closed.Code), string(closed.Reason)
		}
		if f.Close == 0 {
			f.Close = 1005 // a close frame without a code, RFC 6455 §7.1.5
		}
		s.relay.record(f)
		if f.Close != 1005 && f.Close != 1006 {
			_ = s.peer.WriteClose(uint16(f.Close), []byte(f.Frame))
		}
		_ = s.peer.NetConn().Close()
	})
}
