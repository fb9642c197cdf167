package load

import (
	"encoding/binary"
	"errors"
)

// The opcodes of RFC 6455 §5.2 that a peer of this client may send.
const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA
)

// maxFrame bounds a received frame, as protocol 1.0 does: 1 MiB.
const maxFrame = 1 << 20

var errFrame = errors.New("malformed, masked, fragmented or oversized frame")

// appendFrame appends a final, masked frame to dst. Sizes up to maxFrame.
func appendFrame(dst []byte, op byte, key uint32, payload []byte) []byte {
	dst = appendHeader(dst, op, key, len(payload))
	start := len(dst)
	dst = append(dst, payload...)
	mask(dst[start:], key)
	return dst
}

func appendHeader(dst []byte, op byte, key uint32, n int) []byte {
	switch {
	case n < 126:
		dst = append(dst, 0x80|op, 0x80|byte(n))
	case n < 1<<16:
		dst = append(dst, 0x80|op, 0x80|126)
		dst = binary.BigEndian.AppendUint16(dst, uint16(n))
	default:
		dst = append(dst, 0x80|op, 0x80|127)
		dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	}
	return binary.LittleEndian.AppendUint32(dst, key)
}

// mask applies a masking key whose first byte on the wire is its lowest.
func mask(b []byte, key uint32) {
	wide := uint64(key)<<32 | uint64(key)
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^wide)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= byte(wide >> (8 * i))
	}
}

// splitFrame takes the first frame off b. A total of 0 means that b does not
// hold all of it yet. The payload is a part of b.
func splitFrame(b []byte) (op byte, payload []byte, total int, err error) {
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	header, size := 2, uint64(b[1]&0x7f)
	if b[0]&0xf0 != 0x80 || b[1]&0x80 != 0 {
		return 0, nil, 0, errFrame
	}
	switch size {
	case 126:
		if header = 4; len(b) < header {
			return 0, nil, 0, nil
		}
		size = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if header = 10; len(b) < header {
			return 0, nil, 0, nil
		}
		size = binary.BigEndian.Uint64(b[2:])
	}
	if size > maxFrame {
		return 0, nil, 0, errFrame
	}
	if total = header + int(size); len(b) < total {
		return 0, nil, 0, nil
	}
	return b[0] & 0x0f, b[header:total], total, nil
}
