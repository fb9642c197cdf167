package channel

import (
	"encoding/hex"
	"math/rand/v2"
)

// NewID returns a fresh UUIDv4 (RFC 9562 §5.4) in lower case. Ids of messages
// and channels have to be unique, not secret: they are only ever seen by the
// two verified ends, so the runtime's seeded generator serves and costs no
// system call.
func NewID() string {
	var b [16]byte
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := range 8 {
		b[i] = byte(hi >> (8 * i))
		b[8+i] = byte(lo >> (8 * i))
	}
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	hex.Encode(out[9:13], b[4:6])
	hex.Encode(out[14:18], b[6:8])
	hex.Encode(out[19:23], b[8:10])
	hex.Encode(out[24:36], b[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}

func random() float64 { return rand.Float64() }
