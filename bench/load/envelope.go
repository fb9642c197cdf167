package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Message ids look like UUIDs: 24 characters that all messages of a channel
// share, then the slot of the request and its number, in hex.
const (
	sharedID   = 24
	slotDigits = 3
	numDigits  = 9
	idLength   = sharedID + slotDigits + numDigits
	// maxSlots is how many requests may be under way on one channel.
	maxSlots = 1 << (4 * slotDigits)
	maxNum   = 1<<(4*numDigits) - 1
)

// template is all that a channel's messages have in common, ready to copy.
type template struct {
	id      string // the shared part of message ids
	head    []byte // up to the message id's variable part
	middle  []byte // from there to the sequence
	meta    []byte // from the sequence to content
	request string // content of a request, to the end
}

// newTemplate makes the texts for one channel. shared must be as long as
// sharedID; text goes into the data of every request as it is and must not
// need escapes.
func newTemplate(shared, channel, sender, recipient, text string, now time.Time) template {
	return template{
		id:     shared,
		head:   []byte(`{"meta":{"message_id":"` + shared),
		middle: []byte(`","channel_id":"` + channel + `","sequence":`),
		meta: []byte(`,"timestamp":"` + now.UTC().Format("2006-01-02T15:04:05.000000+00:00") +
			`","sender":"` + sender + `","recipient":"` + recipient + `","reply_to":null},"content":`),
		request: `{"type":"request","data":{"text":"` + text + `"}}}`,
	}
}

// The contents that are the same on all channels, to the end of the message.
const (
	contentOpen      = `{"type":"channel.open","data":{"protocol_version":"1.0","capabilities":["json"]}}}`
	contentHeartbeat = `{"type":"channel.heartbeat","data":{}}}`
)

// appendMessage appends a whole masked text frame to dst.
func (t *template) appendMessage(dst []byte, key uint32, slot int, num, sequence uint64, content string) []byte {
	var digits [20]byte
	seq := strconv.AppendUint(digits[:0], sequence, 10)
	n := len(t.head) + slotDigits + numDigits + len(t.middle) + len(seq) + len(t.meta) + len(content)
	dst = appendHeader(dst, opText, key, n)
	start := len(dst)
	dst = append(dst, t.head...)
	dst = appendHex(dst, uint64(slot), slotDigits)
	dst = appendHex(dst, num, numDigits)
	dst = append(dst, t.middle...)
	dst = append(dst, seq...)
	dst = append(dst, t.meta...)
	dst = append(dst, content...)
	mask(dst[start:], key)
	return dst
}

func appendHex(dst []byte, v uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[v>>shift&0xf])
	}
	return dst
}

var errReply = errors.New("reply without a reply_to of this channel")

// replyTo finds out which message of this channel a received one answers. It
// looks for the key only: a full decode of every reply would make the client
// cost more than the server. Request texts hold no quotes, so an echo cannot
// fake the key.
func (t *template) replyTo(payload []byte) (slot int, num uint64, err error) {
	id, ok := textAfter(payload, `"reply_to"`)
	if !ok || len(id) < idLength+1 || id[idLength] != '"' || string(id[:sharedID]) != t.id {
		return 0, 0, errReply
	}
	s, ok1 := parseHex(id[sharedID : sharedID+slotDigits])
	num, ok2 := parseHex(id[sharedID+slotDigits : idLength])
	if !ok1 || !ok2 {
		return 0, 0, errReply
	}
	return int(s), num, nil
}

// hasType reports whether a received message is of the type.
func hasType(payload []byte, name string) bool {
	for {
		rest, ok := textAfter(payload, `"type"`)
		if !ok {
			return false
		}
		if len(rest) > len(name) && rest[len(name)] == '"' && string(rest[:len(name)]) == name {
			return true
		}
		payload = rest
	}
}

// textAfter returns what follows the opening quote of the first text value
// that belongs to key (given with its quotes).
func textAfter(b []byte, key string) ([]byte, bool) {
	i := bytes.Index(b, []byte(key))
	if i < 0 {
		return nil, false
	}
	b = bytes.TrimLeft(b[i+len(key):], " :")
	if len(b) == 0 || b[0] != '"' {
		return nil, false
	}
	return b[1:], true
}

func parseHex(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			v = v<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// checkEcho decodes a response in full and compares its text.
func checkEcho(payload []byte, text string) error {
	var got struct {
		Content struct {
			Type string `json:"type"`
			Data struct {
				Text string `json:"text"`
			} `json:"data"`
		} `json:"content"`
	}
	if err := json.Unmarshal(payload, &got); err != nil {
		return fmt.Errorf("decoding a response: %w", err)
	}
	// A Python server may put a few words before the echo.
	if got.Content.Type != "response" || !strings.HasSuffix(got.Content.Data.Text, text) {
		return fmt.Errorf("response of type %q does not echo the text of the request", got.Content.Type)
	}
	return nil
}

// phrase returns n bytes of plain text.
func phrase(n int) string {
	const words = "the quick brown fox jumps over the lazy dog; "
	return strings.Repeat(words, n/len(words)+1)[:n]
}
