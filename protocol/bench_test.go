package protocol

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// stdEnvelope is what an agent written by hand would use.
type stdEnvelope struct {
	Meta struct {
		MessageID string  `json:"message_id"`
		ChannelID string  `json:"channel_id"`
		Sequence  int64   `json:"sequence"`
		Timestamp string  `json:"timestamp"`
		Sender    *string `json:"sender"`
		Recipient *string `json:"recipient"`
		ReplyTo   *string `json:"reply_to"`
	} `json:"meta"`
	Content struct {
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	} `json:"content"`
}

func (s *stdEnvelope) set(e *Envelope) {
	s.Meta.MessageID, s.Meta.ChannelID, s.Meta.Sequence = e.MessageID, e.ChannelID, e.Sequence
	s.Meta.Timestamp = e.Timestamp
	if s.Meta.Timestamp == "" {
		s.Meta.Timestamp = e.Time.UTC().Format("2006-01-02T15:04:05.000000+00:00")
	}
	s.Meta.Sender, s.Meta.Recipient, s.Meta.ReplyTo = orNil(e.Sender), orNil(e.Recipient), orNil(e.ReplyTo)
	s.Content.Type, s.Content.Data = e.Type, e.Data
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// benchmarkMessage is a request whose data has the given length in bytes.
func benchmarkMessage(text string, size int) Envelope {
	const around = len(`{"text":""}`)
	// Cut between two characters.
	text = strings.ToValidUTF8(strings.Repeat(text, size/len(text)+1)[:size-around], "")
	return Envelope{
		MessageID: "5b0c8a5e-7a39-4a0e-9a52-0f6d3b1f3c11",
		ChannelID: "0d9f2f3a-3c0e-4a3e-8a8e-5f4f7a2f9b10",
		Sequence:  1234,
		Time:      time.Date(2026, 3, 1, 9, 30, 0, 123456000, time.UTC),
		Sender:    "11111111-1111-4111-8111-111111111111",
		Recipient: "22222222-2222-4222-8222-222222222222",
		Type:      TypeRequest,
		Data:      []byte(`{"text":"` + text + `"}`),
	}
}

func benchmarkMessages() map[string]Envelope {
	return map[string]Envelope{
		"128B":          benchmarkMessage("hello, agent ", 128),
		"4KiB":          benchmarkMessage("hello, agent ", 4096),
		"4KiB/cyrillic": benchmarkMessage("привет ", 4096),
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, e := range benchmarkMessages() {
		frame := AppendEncode(nil, &e)
		b.Run(name+"/pando", func(b *testing.B) {
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(frame, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/encoding-json", func(b *testing.B) {
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				var s stdEnvelope
				if err := json.Unmarshal(frame, &s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, e := range benchmarkMessages() {
		dst := AppendEncode(nil, &e)
		b.Run(name+"/pando", func(b *testing.B) {
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			for b.Loop() {
				dst = AppendEncode(dst[:0], &e)
			}
		})
		b.Run(name+"/encoding-json", func(b *testing.B) {
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			for b.Loop() {
				var s stdEnvelope
				s.set(&e)
				if _, err := json.Marshal(&s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHostileData shows that no shape of data costs much more per byte
// than another.
func BenchmarkHostileData(b *testing.B) {
	for name, data := range hostileData(1 << 18) {
		frame := AppendEncode(nil, &Envelope{Type: "x", Data: []byte(data)})
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(frame, Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
