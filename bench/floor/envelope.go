package floor

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// timestampLayout is what Python's isoformat writes.
const timestampLayout = "2006-01-02T15:04:05.000000+00:00"

var errIncomplete = errors.New("floor: message without id, channel or type")

type meta struct {
	MessageID string  `json:"message_id"`
	ChannelID string  `json:"channel_id"`
	Sequence  int64   `json:"sequence"`
	Timestamp string  `json:"timestamp"`
	Sender    string  `json:"sender"`
	Recipient string  `json:"recipient"`
	ReplyTo   *string `json:"reply_to"`
}

type incoming struct {
	Meta    meta `json:"meta"`
	Content struct {
		Type string `json:"type"`
		Data struct {
			Text   string `json:"text"`
			Reason string `json:"reason"`
		} `json:"data"`
	} `json:"content"`
}

type outgoing struct {
	Meta    meta `json:"meta"`
	Content struct {
		Type string `json:"type"`
		Data any    `json:"data"`
	} `json:"content"`
}

type opening struct {
	ProtocolVersion string   `json:"protocol_version"`
	Capabilities    []string `json:"capabilities"`
}

type echo struct {
	Text string `json:"text"`
}

type closing struct {
	Acknowledged bool   `json:"acknowledged"`
	Reason       string `json:"reason"`
}

type failure struct {
	Message string `json:"message"`
}

// answer returns the frame that answers the frame in, or nil when there is
// nothing to answer.
func answer(in []byte, now time.Time) ([]byte, error) {
	var got incoming
	if err := json.Unmarshal(in, &got); err != nil {
		return nil, err
	}
	if got.Meta.MessageID == "" || got.Meta.ChannelID == "" || got.Content.Type == "" {
		return nil, errIncomplete
	}
	var out outgoing
	switch got.Content.Type {
	case "channel.open":
		out.Meta.Sequence = 1
		out.Content.Type = "channel.accept"
		out.Content.Data = opening{ProtocolVersion: "1.0", Capabilities: []string{"json"}}
	case "channel.heartbeat":
		out.Content.Type = "channel.heartbeat"
		out.Content.Data = struct{}{}
	case "channel.close":
		out.Meta.Sequence = 1
		out.Content.Type = "channel.close"
		out.Content.Data = closing{Acknowledged: true, Reason: got.Content.Data.Reason}
	case "request":
		out.Content.Type = "response"
		out.Content.Data = echo{Text: got.Content.Data.Text}
	case "response", "error":
		return nil, nil
	default:
		out.Content.Type = "error"
		out.Content.Data = failure{Message: "unsupported message type: " + got.Content.Type}
	}
	out.Meta.MessageID = newID()
	out.Meta.ChannelID = got.Meta.ChannelID
	out.Meta.Timestamp = now.UTC().Format(timestampLayout)
	out.Meta.Sender = ID
	out.Meta.Recipient = got.Meta.Sender
	out.Meta.ReplyTo = &got.Meta.MessageID
	return json.Marshal(&out)
}

// newID returns a fresh UUIDv4.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	text := make([]byte, 0, 36)
	for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text)
}
