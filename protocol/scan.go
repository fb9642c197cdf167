package protocol

import "unicode/utf8"

// scanner walks over one JSON text (RFC 8259) and checks it strictly: grammar,
// UTF-8, surrogate pairs, depth, unique keys. Its methods return false once it
// has failed; code and message then say why, and i roughly where.
type scanner struct {
	b        []byte
	i        int
	depth    int
	maxDepth int

	code    string
	message string

	// side holds keys that do not stand in the frame as they are meant.
	side  []byte
	spare *manyKeys
}

// piece is the inside of a string, or another part, of the frame.
type piece struct {
	lo, hi  int
	escaped bool
}

func (s *scanner) fail(message string) bool {
	if s.code == "" {
		s.code, s.message = CodeInvalidJSON, message
	}
	return false
}

// next skips white space and returns the byte that follows, or 0 at the end.
func (s *scanner) next() byte {
	for s.i < len(s.b) {
		c := s.b[s.i]
		if c > ' ' {
			return c
		}
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			// A control character, which is nowhere allowed; 0 would be taken
			// for the end, which is as wrong there.
			return c
		}
		s.i++
	}
	return 0
}

// value checks the value that starts at i, which is not white space.
func (s *scanner) value() bool {
	if s.i >= len(s.b) {
		return s.fail("unexpected end")
	}
	switch c := s.b[s.i]; c {
	case '"':
		_, ok := s.str()
		return ok
	case '{':
		return s.object()
	case '[':
		return s.array()
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	default:
		if c == '-' || '0' <= c && c <= '9' {
			return s.number()
		}
		return s.fail("unexpected character")
	}
}

func (s *scanner) word(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.fail("unexpected character")
	}
	s.i += len(w)
	return true
}

// str scans the string whose opening quote is at i.
func (s *scanner) str() (piece, bool) {
	p := piece{lo: s.i + 1}
	var seen uint64
	for i := p.lo; ; {
		end, bits := plain(s.b, i)
		seen |= bits
		s.i = end
		if end == len(s.b) {
			return p, s.fail("unexpected end in a string")
		}
		switch s.b[end] {
		case '"':
			p.hi = end
			s.i++
			if seen&eachByte80 != 0 && !utf8.Valid(s.b[p.lo:p.hi]) {
				return p, s.fail("not UTF-8")
			}
			return p, true
		case '\\':
			n := escapeLen(s.b, end)
			if n == 0 {
				return p, s.fail("bad escape in a string")
			}
			p.escaped = true
			i = end + n
		default:
			return p, s.fail("control character in a string")
		}
	}
}

// number scans the number that starts at i with '-' or a digit.
func (s *scanner) number() bool {
	b, i := s.b, s.i
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else {
		end := digits(b, i)
		if end == i {
			s.i = i
			return s.fail("bad number")
		}
		i = end
	}
	if i < len(b) && b[i] == '.' {
		end := digits(b, i+1)
		if end == i+1 {
			s.i = i
			return s.fail("bad number")
		}
		i = end
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		end := digits(b, i)
		if end == i {
			s.i = i
			return s.fail("bad number")
		}
		i = end
	}
	s.i = i
	return true
}

func digits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

// enter steps over the opening bracket at i.
func (s *scanner) enter() bool {
	if s.depth == s.maxDepth {
		s.code, s.message = CodeTooDeep, "objects and arrays nest too deep"
		return false
	}
	s.depth++
	s.i++
	return true
}

func (s *scanner) array() bool {
	if !s.enter() {
		return false
	}
	if s.next() == ']' {
		return s.leave()
	}
	for {
		if !s.value() {
			return false
		}
		switch s.next() {
		case ',':
			s.i++
			s.next()
		case ']':
			return s.leave()
		default:
			return s.fail("expected a comma or the end of an array")
		}
	}
}

// leave steps over the closing bracket at i.
func (s *scanner) leave() bool {
	s.i++
	s.depth--
	return true
}

func (s *scanner) object() bool {
	var keys keySet
	if !s.enter() {
		return false
	}
	for first := true; ; first = false {
		key, more := s.member(first)
		if !more {
			keys.release(s)
			return s.code == ""
		}
		if !keys.add(s, s.unescapedKey(key)) {
			return s.fail("duplicate key")
		}
		if !s.value() {
			return false
		}
	}
}

// member goes on to the next key of the object being scanned and leaves i at
// its value. At the end of the object, which it steps over, and after a failure
// it returns false.
func (s *scanner) member(first bool) (key piece, more bool) {
	switch c := s.next(); {
	case c == '}':
		s.leave()
		return key, false
	case first:
	case c == ',':
		s.i++
		s.next()
	default:
		return key, s.fail("expected a comma or the end of an object")
	}
	if s.i >= len(s.b) || s.b[s.i] != '"' {
		return key, s.fail("expected a key")
	}
	key, ok := s.str()
	if !ok {
		return key, false
	}
	if s.next() != ':' {
		return key, s.fail("expected a colon")
	}
	s.i++
	s.next()
	return key, true
}
