package transport

import (
	"encoding/binary"
	"math/rand/v2"
)

// Opcodes of RFC 6455 §5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const (
	maxHeader  = 14
	maxControl = 125 // payload of a control frame, RFC 6455 §5.5
)

// appendFrame appends a complete frame to b. Frames of a client are masked with
// a key from math/rand/v2, whose generator is ChaCha8 seeded by the operating
// system: strong, as RFC 6455 §5.3 demands, and without state per connection.
func appendFrame(b []byte, client bool, op byte, payload []byte) []byte {
	b = append(b, 0x80|op)
	var mask byte
	if client {
		mask = 0x80
	}
	switch n := len(payload); {
	case n <= maxControl:
		b = append(b, mask|byte(n))
	case n <= 0xFFFF:
		b = append(b, mask|126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b = append(b, mask|127)
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if !client {
		return append(b, payload...)
	}
	key := rand.Uint32()
	b = binary.LittleEndian.AppendUint32(b, key)
	start := len(b)
	b = append(b, payload...)
	xorMask(b[start:], key)
	return b
}

// xorMask applies a masking key whose first byte is its lowest.
func xorMask(b []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * (i & 3)))
	}
}

// closePayload is the body of a close frame; code 0 or 1005 means an empty one.
// A reason that is too long is cut at a rune.
func closePayload(code int, reason string) []byte {
	if code == 0 || code == CodeNoStatus {
		return nil
	}
	if len(reason) > maxControl-2 {
		end := maxControl - 2
		for end > 0 && reason[end]&0xC0 == 0x80 {
			end--
		}
		reason = reason[:end]
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), reason...)
}

// frameSize is the size of the frame at the start of b, which holds all of its
// header.
func frameSize(b []byte) int {
	head, n := 2, int(b[1]&0x7F)
	switch n {
	case 126:
		head, n = 4, int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		head, n = 10, int(binary.BigEndian.Uint64(b[2:]))
	}
	if b[1]&0x80 != 0 {
		head += 4
	}
	return head + n
}

// wholeFrames returns how many bytes at the start of b, which begins at a frame,
// are whole frames of at most limit bytes together; the first frame always counts.
func wholeFrames(b []byte, limit int) int {
	n := frameSize(b)
	for n < len(b) {
		next := n + frameSize(b[n:])
		if next > limit {
			break
		}
		n = next
	}
	return n
}
