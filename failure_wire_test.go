package pando_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/pando-agents/pando"
)

// hostile are bytes that break the WebSocket protocol, or a limit, and the
// close code that answers them.
var hostile = map[string]struct {
	bytes []byte
	end   string
}{
	"the 14-byte frame":         {[]byte{0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, "1002"},
	"length of all ones":        {bytes.Repeat([]byte{0xFF}, 14), "1002"},
	"header that claims 1 GiB":  {[]byte{0x81, 0xFF, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4}, "1009"},
	"frame over the limit":      {frame(0x80|opText, make([]byte, 1<<20+1)), "1009"},
	"fragments over the limit":  {append(frame(opText, make([]byte, 1<<19+1)), frame(0x80|opContinue, make([]byte, 1<<19))...), "1009"},
	"without a mask":            {[]byte{0x81, 2, '{', '}'}, "1002"},
	"reserved bit":              {frame(0x80|0x40|opText, []byte("{}")), "1002"},
	"reserved opcode":           {frame(0x80|0x3, []byte("{}")), "1002"},
	"continuation of nothing":   {frame(0x80|opContinue, []byte("{}")), "1002"},
	"message within a message":  {append(frame(opText, []byte("{")), frame(0x80|opText, []byte("}"))...), "1002"},
	"long ping":                 {frame(0x80|opPing, make([]byte, 126)), "1002"},
	"fragmented ping":           {frame(opPing, nil), "1002"},
	"close code that is none":   {frame(0x80|opClose, []byte{0x03, 0xEE}), "1002"}, // 1006
	"close frame of one byte":   {frame(0x80|opClose, []byte{3}), "1002"},
	"binary":                    {frame(0x80|opBinary, []byte("{}")), "1003"},
	"text that is not UTF-8":    {frame(0x80|opText, []byte("{\"\xc3\x28\":1}")), "1007"},
	"close reason not in UTF-8": {frame(0x80|opClose, []byte("\x03\xe8\xff")), "1007"},
	"flood of pings":            {bytes.Repeat(frame(0x80|opPing, nil), 500), "1008"},
	"HTTP":                      {[]byte("GET / HTTP/1.1\r\nHost: agent\r\n\r\n"), "1002"},
}

func TestHostileFramesEndTheirConnectionOnly(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil)
	creds := s.stranger(s.agent)
	t.Run("frames", func(t *testing.T) {
		for name, h := range hostile {
			t.Run(name+" before open", func(t *testing.T) {
				c := s.raw(creds, s.agent)
				c.t = t
				c.write(h.bytes)
				c.wantEnd(h.end)
				s.agent.log.wait(t, "connection closed before it was open",
					"peer", c.self, "address", c.conn.LocalAddr().String(), "code", h.end)
			})
			t.Run(name, func(t *testing.T) {
				c := s.rawOpen(creds, s.agent)
				c.t = t
				there := s.agent.lookup(t, c.id)
				c.write(h.bytes)
				c.wantEnd(h.end)
				<-there.Done()
				s.agent.log.wait(t, "channel closed", "channel", c.id, "peer", c.self, "code", h.end)
			})
		}
	})
}

func TestGarbageEndsItsConnectionOnly(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil)
	creds := s.stranger(s.agent)
	random := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		c := s.rawOpen(creds, s.agent)
		garbage := make([]byte, 2048)
		for i := range garbage {
			garbage[i] = byte(random.Uint32())
		}
		garbage[0] |= 0x70 // reserved bits: no length of a frame can swallow it all
		c.write(garbage)
		c.wantEnd("100") // 1002 mostly
		s.agent.log.wait(t, "channel closed", "channel", c.id, "peer", c.self)
	}
}

func TestMessagesThatAreNotEnvelopesAreAnsweredAndForgotten(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil)
	c := s.rawOpen(s.stranger(s.agent), s.agent)
	ordinary := c.envelope("m", "count", "{}", c.self)
	bad := map[string]string{
		"":                         "invalid_json",
		"hello":                    "invalid_json",
		ordinary + ordinary:        "invalid_json",
		ordinary[:len(ordinary)-1]: "invalid_json",
		`{"meta":{},"meta":{},"content":{"type":"count"}}`: "invalid_json",
		`{"meta":{},"content":{"type":"count\ud800"}}`:     "invalid_json",
		`[]`:                                     "invalid_message",
		`{}`:                                     "invalid_message",
		`{"meta":[],"content":{"type":"count"}}`: "invalid_message",
		`{"meta":{"sequence":1.5},"content":{"type":"count"}}`: "invalid_message",
		`{"meta":{},"content":{}}`:                             "invalid_content",
		`{"meta":{},"content":{"type":7}}`:                     "invalid_content",
		`{"meta":{},"content":{"type":"count","data":[]}}`:     "invalid_content",
		`{"meta":{},"content":{"type":"count","data":{"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}}}`: "too_deep",
	}
	for text, want := range bad {
		c.text(text)
		m := c.next()
		if m.Content.Type != "error" || m.code() != want {
			t.Errorf("%.60s: answered %s %s, want %s", text, m.Content.Type, m.code(), want)
		}
		s.agent.log.wait(t, "message refused", "channel", c.id, "peer", c.self, "err", want)
	}
	id := c.message("count", `{"n":1}`)
	if m := c.next(); m.Meta.ReplyTo != id || m.Content.Type != "response" {
		t.Fatalf("%+v", m)
	}
	for range 64 { // at some point it is enough
		c.text("hello")
	}
	c.wantEnd("1008 too many invalid messages")
	s.agent.log.wait(t, "channel closed", "channel", c.id, "peer", c.self, "code", "1008")
}

func TestMessageBeforeOpenEndsItsConnectionOnly(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil)
	creds, other := s.stranger(s.agent), s.stranger(s.agent)
	id := newID()
	for name, m := range map[string]struct{ typ, data, sender, channel, end string }{
		"request":                 {"count", `{"n":1}`, creds.AgentID, id, "1008 message before channel.open"},
		"heartbeat":               {"channel.heartbeat", "", creds.AgentID, id, "1008 message before channel.open"},
		"close":                   {"channel.close", "", creds.AgentID, id, "1008 message before channel.open"},
		"accept":                  {"channel.accept", openData, creds.AgentID, id, "1008 message before channel.open"},
		"error":                   {"error", "", creds.AgentID, id, "1008 message before channel.open"},
		"open by a forged sender": {"channel.open", openData, other.AgentID, id, "1008 sender is not the verified peer"},
		"open without an id":      {"channel.open", openData, creds.AgentID, "", "1008 channel.open without channel_id"},
		"open of a long id":       {"channel.open", openData, creds.AgentID, strings.Repeat("x", 257), "1008"},
		"open of another version": {"channel.open", `{"protocol_version":"2.0"}`, creds.AgentID, id, "1008 unsupported protocol version"},
	} {
		c := s.raw(creds, s.agent)
		c.id = m.channel
		c.text(c.envelope(newID(), m.typ, m.data, m.sender))
		// What follows at once does not open it after all.
		c.id = newID()
		c.message("channel.open", openData)
		if got := c.ends(); !strings.HasPrefix(got, m.end) {
			t.Errorf("%s: ended with %q, want %q", name, got, m.end)
		}
		if _, err := s.agent.Lookup(within(t, patience), c.id); err == nil {
			t.Errorf("%s: the channel is open", name)
		}
	}
	s.agent.log.wait(t, "connection closed before it was open", "peer", creds.AgentID, "reason", "sender is not the verified peer")
	s.agent.log.wait(t, "connection closed before it was open", "peer", creds.AgentID, "reason", "message before channel.open")
	s.agent.log.wait(t, "channel closed", "peer", creds.AgentID, "reason", "unsupported protocol version")
}

func TestSecondOpenIsRefusedAndTheChannelGoesOn(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil)
	c := s.rawOpen(s.stranger(s.agent), s.agent)
	for range 3 {
		id := c.message("channel.open", openData)
		if m := c.next(); m.Content.Type != "error" || m.code() != "already_open" || m.Meta.ReplyTo != id {
			t.Fatalf("%+v", m)
		}
	}
	id := c.message("count", `{"n":1}`)
	if m := c.next(); m.Meta.ReplyTo != id || m.Content.Type != "response" {
		t.Fatalf("%+v", m)
	}
}

func TestForgedSenderEndsItsChannelOnly(t *testing.T) {
	t.Parallel()
	reached := make(chan string, 9)
	s := onStage(t, func(a *node) {
		a.Handle("who", func(_ context.Context, m *pando.Message) (any, error) { reached <- m.Peer; return numbered{}, nil })
	})
	creds, victim := s.stranger(s.agent), s.stranger(s.agent)
	for _, key := range []string{"sender", "sender_id"} {
		c := s.rawOpen(creds, s.agent)
		text := c.envelope(newID(), "who", "", victim.AgentID)
		c.text(strings.Replace(text, `"sender"`, fmt.Sprintf("%q", key), 1))
		c.wantEnd("1008 sender mismatch")
		s.agent.log.wait(t, "channel closed", "channel", c.id, "peer", creds.AgentID, "reason", "sender mismatch")
	}
	c := s.rawOpen(creds, s.agent)
	c.message("who", "")
	c.next()
	if got := <-reached; got != creds.AgentID || len(reached) != 0 {
		t.Errorf("a forged message reached the handler; last from %s", got)
	}
}

// Whoever knows the id of a channel can neither take it over nor close it.
func TestChannelIDOfAnotherPeerIsRefused(t *testing.T) {
	t.Parallel()
	s := onStage(t, nil)
	victim := s.friend(s.agent, "victim", nil)
	ch := victim.open(t, s.agent)
	creds := s.stranger(s.agent)
	for _, id := range []string{ch.ID(), s.witness.ch.ID()} {
		c := s.raw(creds, s.agent)
		c.id = id
		c.message("channel.open", `{"protocol_version":"1.0","capabilities":["json","pando"]}`)
		c.wantEnd("1008 channel id is in use")
		s.agent.log.wait(t, "connection closed before it was open", "channel", id, "peer", creds.AgentID)
	}
	one := s.rawOpen(creds, s.agent) // its own, of which it cannot have two
	two := s.raw(creds, s.agent)
	two.id = one.id
	two.message("channel.open", openData)
	two.wantEnd("1008 channel id is in use")
	id := one.message("count", `{"n":1}`)
	if m := one.next(); m.Meta.ReplyTo != id {
		t.Errorf("%+v", m)
	}
	if ch.Info().Reopened != 0 {
		t.Error("the victim noticed")
	}
}
