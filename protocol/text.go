package protocol

import (
	"encoding/binary"
	"math/bits"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	eachByte01 = 0x0101010101010101
	eachByte20 = 0x2020202020202020
	eachByte80 = 0x8080808080808080
	quotes     = '"' * eachByte01
	slashes    = '\\' * eachByte01
)

// plain returns the index, from i on, of the first byte that JSON does not
// allow literally in a string (quote, backslash, control character), or len(b).
// ascii tells whether all bytes before it are ASCII.
//
// Eight bytes are looked at together, four times over. Subtracting 1 from a zero
// byte borrows into its high bit. A false alarm needs a borrow from a lower byte,
// which is then a hit itself, or a byte beyond ASCII, which hits rules out.
func plain(b []byte, i int) (end int, ascii bool) {
	for ; i+32 <= len(b); i += 32 {
		p := b[i : i+32 : i+32]
		if (alarm(word(p))|alarm(word(p[8:]))|alarm(word(p[16:]))|alarm(word(p[24:])))&eachByte80 != 0 {
			break
		}
	}
	ascii = true
	for ; i+8 <= len(b); i += 8 {
		w := word(b[i:])
		if alarm(w)&eachByte80 == 0 {
			continue
		}
		if h := hits(w); h != 0 {
			before := h&-h - 1
			return i + bits.TrailingZeros64(h)/8, ascii && w&before&eachByte80 == 0
		}
		ascii = false
	}
	for ; i < len(b); i++ {
		c := b[i]
		if c == '"' || c == '\\' || c < ' ' {
			break
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return i, ascii
}

func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// alarm returns a word with a high bit set if there is a hit in w or a byte
// beyond ASCII.
func alarm(w uint64) uint64 {
	return w | (w - eachByte20) | ((w ^ quotes) - eachByte01) | ((w ^ slashes) - eachByte01)
}

// hits returns a word in which the lowest bit that is set is the high bit of the
// first byte of w that is a quote, a backslash or a control character.
func hits(w uint64) uint64 {
	quote, slash := w^quotes, w^slashes
	return ((w-eachByte20)&^w | (quote-eachByte01)&^quote | (slash-eachByte01)&^slash) & eachByte80
}

// escapeLen returns the length of the escape sequence at b[i], a backslash, or
// 0 if it is not one that JSON knows or is half of a surrogate pair.
func escapeLen(b []byte, i int) int {
	if i+1 >= len(b) {
		return 0
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
	default:
		return 0
	}
	r := hex4(b, i+2)
	if r < 0 {
		return 0
	}
	if !utf16.IsSurrogate(r) {
		return 6
	}
	if i+7 >= len(b) || b[i+6] != '\\' || b[i+7] != 'u' ||
		utf16.DecodeRune(r, hex4(b, i+8)) == utf8.RuneError {
		return 0
	}
	return 12
}

// hex4 reads four hexadecimal digits at b[i:]; -1 means that there are none.
func hex4(b []byte, i int) rune {
	if i+4 > len(b) {
		return -1
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// appendUnescaped appends what the inside of a scanned JSON string stands for.
// The result is never longer than raw.
func appendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			end, _ := plain(raw, i)
			dst = append(dst, raw[i:end]...)
			i = end
			continue
		}
		n := escapeLen(raw, i)
		dst = utf8.AppendRune(dst, escaped(raw[i:i+n]))
		i += n
	}
	return dst
}

// escaped returns the character that a valid escape sequence stands for.
func escaped(seq []byte) rune {
	switch seq[1] {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'u':
		r := hex4(seq, 2)
		if len(seq) == 12 {
			r = utf16.DecodeRune(r, hex4(seq, 8))
		}
		return r
	}
	return rune(seq[1])
}

// appendFolded appends name in the form that all its case variants share, the
// lower one for ASCII. Variants are those that encoding/json takes for the same
// key, so a Go peer that is laxer than we are sees no other message than we do.
func appendFolded(dst, name []byte) []byte {
	for len(name) > 0 {
		r, size := utf8.DecodeRune(name)
		name = name[size:]
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		if 'A' <= least && least <= 'Z' {
			least += 'a' - 'A'
		}
		dst = utf8.AppendRune(dst, least)
	}
	return dst
}
