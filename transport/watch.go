package transport

import "encoding/binary"

// watch follows the frames in the bytes that come in, before gws sees them. It
// is what keeps gws from allocating for a frame that will be refused, from
// panicking over a length with the top bit set, and what tells whether a message
// is unfinished. Everything else of RFC 6455 is left to gws.
type watch struct {
	left     int64 // payload bytes of the current frame still to come
	total    int64 // payload bytes of the current message so far announced
	header   [maxHeader]byte
	have     uint8 // bytes of header
	data     bool  // the current frame is a data frame
	fin      bool  // the current frame ends its message
	unended  bool  // a message has begun and its last frame has not ended
	complete bool  // a message became complete in the last scan
}

// violation is why a connection must be failed.
type violation struct {
	code   int
	reason string
}

func (v *violation) Error() string { return "transport: " + v.reason }

// unfinished reports whether the bytes so far end within a frame or a message.
func (w *watch) unfinished() bool { return w.have > 0 || w.left > 0 || w.unended }

// scan takes in p. When p breaks a limit of max bytes, scan returns the number of
// bytes before the header of the offending frame and the violation.
func (w *watch) scan(p []byte, max int) (int, *violation) {
	w.complete = false
	start := 0
	for i := 0; i < len(p); {
		if w.left > 0 {
			n := min(w.left, int64(len(p)-i))
			w.skip(n)
			i += int(n)
			continue
		}
		if w.have == 0 {
			start = i
		}
		w.header[w.have] = p[i]
		w.have++
		i++
		if w.have < 2 || int(w.have) < headerSize(w.header[1]) {
			continue
		}
		if v := w.begin(int64(max)); v != nil {
			return start, v
		}
	}
	return len(p), nil
}

// skip takes in n bytes of payload, n ≤ left.
func (w *watch) skip(n int64) {
	w.left -= n
	if w.left == 0 {
		w.endFrame()
	}
}

func headerSize(second byte) int {
	n := 2
	switch second & 0x7F {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if second&0x80 != 0 {
		n += 4
	}
	return n
}

// begin judges a complete header.
func (w *watch) begin(max int64) *violation {
	w.have = 0
	n := uint64(w.header[1] & 0x7F)
	switch n {
	case 126:
		n = uint64(binary.BigEndian.Uint16(w.header[2:]))
	case 127:
		n = binary.BigEndian.Uint64(w.header[2:])
	}
	if n>>63 != 0 { // RFC 6455 §5.2: the most significant bit must be 0
		return &violation{CodeProtocol, "frame length out of range"}
	}
	op := w.header[0] & 0x0F
	w.left = int64(n)
	w.data = op <= opBinary
	w.fin = w.header[0]&0x80 != 0
	if w.data {
		if op == opBinary {
			return &violation{CodeUnsupported, "binary messages are not supported"}
		}
		if op == opText {
			w.total = 0
		}
		if w.left > max || w.total+w.left > max {
			return &violation{CodeTooBig, "message too big"}
		}
		w.total += w.left
		w.unended = true
	}
	if w.left == 0 {
		w.endFrame()
	}
	return nil
}

func (w *watch) endFrame() {
	if w.data && w.fin {
		w.unended = false
		w.complete = true
	}
}
