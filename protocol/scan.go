package protocol

import "unicode/utf8"

// scanner walks over one JSON text (RFC 8259) and checks it strictly: grammar,
// UTF-8, surrogate pairs, depth, unique keys. Its methods take the position
// where to start and return the one behind what they scanned, or -1 once the
// scan has failed; code and message then say why. (A position kept in the
// scanner would be stored and loaded for each byte of punctuation, which is
// what most of the time went to.)
type scanner struct {
	b        []byte
	depth    int
	maxDepth int

	code    string
	message string

	// side holds strings that do not stand in the frame as they are meant.
	side  []byte
	spare *manyKeys
}

// ref is a string found: a part of the frame or, if it had to be unescaped or
// folded first, of scanner.side.
type ref struct {
	off  uint32
	size uint32
}

// sideBit in ref.off says that the rest is an offset into scanner.side.
const sideBit = 1 << 31

func (s *scanner) bytes(r ref) []byte {
	if r.off&sideBit != 0 {
		off := r.off &^ sideBit
		return s.side[off : off+r.size]
	}
	return s.b[r.off : r.off+r.size]
}

// sideFrom returns the reference to what was appended to side since it had the
// length off.
func (s *scanner) sideFrom(off int) ref {
	return ref{off: uint32(off) | sideBit, size: uint32(len(s.side) - off)}
}

// fail notes what is wrong and returns -1.
func (s *scanner) fail(message string) int {
	if s.code == "" {
		s.code, s.message = CodeInvalidJSON, message
	}
	return -1
}

// at returns the byte at i, or 0 at the end; 0 itself is nowhere allowed.
func (s *scanner) at(i int) byte {
	if i < len(s.b) {
		return s.b[i]
	}
	return 0
}

// skip returns the position of the next byte that is not white space.
func (s *scanner) skip(i int) int {
	if i < len(s.b) && s.b[i] > ' ' {
		return i
	}
	return s.skipSpace(i)
}

func (s *scanner) skipSpace(i int) int {
	for i < len(s.b) {
		switch s.b[i] {
		case ' ', '\n', '\t', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

// value scans the value that starts at i.
func (s *scanner) value(i int) int {
	switch c := s.at(i); c {
	case '"':
		return s.str(i).hi + 1
	case '{':
		return s.object(i)
	case '[':
		return s.array(i)
	case 't':
		return s.word(i, "true")
	case 'f':
		return s.word(i, "false")
	case 'n':
		return s.word(i, "null")
	default:
		if c == '-' || '0' <= c && c <= '9' {
			return s.number(i)
		}
		return s.fail("unexpected character or end")
	}
}

func (s *scanner) word(i int, w string) int {
	if len(s.b)-i < len(w) || string(s.b[i:i+len(w)]) != w {
		return s.fail("unexpected character or end")
	}
	return i + len(w)
}

// literal is the inside of a string as it stands in the frame.
type literal struct {
	lo, hi  int
	escapes bool
}

// badString is what str returns when it fails: hi+1 is then -1.
const badString = -2

// str scans the string whose opening quote is at i.
func (s *scanner) str(i int) literal {
	l := literal{lo: i + 1}
	end, ascii := plain(s.b, l.lo)
	for s.at(end) == '\\' {
		n := escapeLen(s.b, end)
		if n == 0 {
			s.fail("bad escape in a string")
			return literal{hi: badString}
		}
		l.escapes = true
		var more bool
		end, more = plain(s.b, end+n)
		ascii = ascii && more
	}
	if s.at(end) != '"' {
		s.fail("control character or end in a string")
		return literal{hi: badString}
	}
	if !ascii && !utf8.Valid(s.b[l.lo:end]) {
		s.fail("not UTF-8")
		return literal{hi: badString}
	}
	l.hi = end
	return l
}

// text returns what a string means.
func (s *scanner) text(l literal) ref {
	if !l.escapes {
		return ref{off: uint32(l.lo), size: uint32(l.hi - l.lo)}
	}
	off := len(s.side)
	s.side = appendUnescaped(s.side, s.b[l.lo:l.hi])
	return s.sideFrom(off)
}

// folded returns the form of r that all its case variants share.
func (s *scanner) folded(r ref) ref {
	off := len(s.side)
	s.side = appendFolded(s.side, s.bytes(r))
	return s.sideFrom(off)
}

// number scans the number that starts at i with '-' or a digit.
func (s *scanner) number(i int) int {
	if s.b[i] == '-' {
		i++
	}
	if s.at(i) == '0' {
		i++
	} else if i = s.digits(i); i < 0 {
		return i
	}
	if s.at(i) == '.' {
		if i = s.digits(i + 1); i < 0 {
			return i
		}
	}
	if s.at(i)|0x20 == 'e' {
		i++
		if c := s.at(i); c == '+' || c == '-' {
			i++
		}
		i = s.digits(i)
	}
	return i
}

// digits scans one digit or more.
func (s *scanner) digits(i int) int {
	start := i
	for i < len(s.b) && '0' <= s.b[i] && s.b[i] <= '9' {
		i++
	}
	if i == start {
		return s.fail("bad number")
	}
	return i
}

// enter steps over the opening bracket at i.
func (s *scanner) enter(i int) int {
	if s.depth == s.maxDepth {
		s.code, s.message = CodeTooDeep, "objects and arrays nest too deep"
		return -1
	}
	s.depth++
	return i + 1
}

// leave steps over the closing bracket at i.
func (s *scanner) leave(i int) int {
	s.depth--
	return i + 1
}

func (s *scanner) array(i int) int {
	if i = s.enter(i); i < 0 {
		return i
	}
	if i = s.skip(i); s.at(i) == ']' {
		return s.leave(i)
	}
	for {
		if i = s.value(i); i < 0 {
			return i
		}
		i = s.skip(i)
		switch s.at(i) {
		case ',':
			i = s.skip(i + 1)
		case ']':
			return s.leave(i)
		default:
			return s.fail("expected a comma or the end of an array")
		}
	}
}

func (s *scanner) object(i int) int {
	if i = s.enter(i); i < 0 {
		return i
	}
	var keys keySet
	for first := true; ; first = false {
		var more bool
		if i, more = s.key(i, first); !more {
			keys.release(s)
			return i
		}
		key := s.str(i)
		if i = s.colon(key.hi + 1); i < 0 {
			return i
		}
		if !keys.add(s, s.text(key)) {
			return s.fail("duplicate key")
		}
		if i = s.value(i); i < 0 {
			return i
		}
	}
}

// key goes on to the opening quote of the next key of the object being scanned.
// At the end of the object, which it steps over, and after a failure, more is
// false.
func (s *scanner) key(i int, first bool) (next int, more bool) {
	i = s.skip(i)
	switch c := s.at(i); {
	case c == '}':
		return s.leave(i), false
	case first:
	case c == ',':
		i = s.skip(i + 1)
	default:
		return s.fail("expected a comma or the end of an object"), false
	}
	if s.at(i) != '"' {
		return s.fail("expected a key"), false
	}
	return i, true
}

// colon steps over the colon behind a key that ended before i, and goes on to
// the value.
func (s *scanner) colon(i int) int {
	if i < 0 {
		return i
	}
	if i = s.skip(i); s.at(i) != ':' {
		return s.fail("expected a colon")
	}
	return s.skip(i + 1)
}
