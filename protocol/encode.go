package protocol

import (
	"strconv"
	"unicode/utf8"
	"unsafe"
)

// AppendEncode appends the envelope as compact JSON in UTF-8 to dst. Empty
// Sender, Recipient and ReplyTo are written as null, an empty Timestamp as Time
// (see AppendTimestamp) or, if that is zero, as null, empty Data as {}; an empty
// Actor and a Timeout of 0 are left out. Data is written as it is: it must be a
// JSON object that Decode would accept (see CheckData). Invalid UTF-8 in a
// string becomes U+FFFD. Nothing is allocated when dst has room.
func AppendEncode(dst []byte, e *Envelope) []byte {
	dst = append(dst, `{"meta":{"message_id":`...)
	dst = appendString(dst, e.MessageID)
	dst = append(dst, `,"channel_id":`...)
	dst = appendString(dst, e.ChannelID)
	dst = append(dst, `,"sequence":`...)
	dst = strconv.AppendInt(dst, e.Sequence, 10)
	dst = append(dst, `,"timestamp":`...)
	if e.Timestamp == "" && !e.Time.IsZero() {
		dst = append(dst, '"')
		dst = AppendTimestamp(dst, e.Time)
		dst = append(dst, '"')
	} else {
		dst = appendStringOrNull(dst, e.Timestamp)
	}
	dst = append(dst, `,"sender":`...)
	dst = appendStringOrNull(dst, e.Sender)
	dst = append(dst, `,"recipient":`...)
	dst = appendStringOrNull(dst, e.Recipient)
	dst = append(dst, `,"reply_to":`...)
	dst = appendStringOrNull(dst, e.ReplyTo)
	if e.Actor != "" {
		dst = append(dst, `,"actor":`...)
		dst = appendString(dst, e.Actor)
	}
	if e.Timeout != 0 {
		dst = append(dst, `,"timeout_ms":`...)
		dst = strconv.AppendInt(dst, e.Timeout, 10)
	}
	dst = append(dst, `},"content":{"type":`...)
	dst = appendString(dst, e.Type)
	dst = append(dst, `,"data":`...)
	if len(e.Data) > 0 {
		dst = append(dst, e.Data...)
	} else {
		dst = append(dst, emptyObject...)
	}
	return append(dst, `}}`...)
}

// CheckData reports whether data can be the Data of an envelope that a Pando
// peer with the same limits accepts: one JSON object as Decode asks for, without
// white space around it, or empty. Its length alone is compared with MaxBytes;
// the envelope around it needs some hundred bytes more. The error is an *Error
// with code CodeInvalidJSON, CodeInvalidContent, CodeTooLarge or CodeTooDeep.
func CheckData(data []byte, lim Limits) error {
	lim = lim.withDefaults()
	if len(data) == 0 {
		return nil
	}
	if len(data) > lim.MaxBytes {
		return &Error{Code: CodeTooLarge, Message: "data too large"}
	}
	if data[0] != '{' {
		return &Error{Code: CodeInvalidContent, Message: "data is not an object"}
	}
	s := scanner{b: data, maxDepth: lim.MaxDepth, depth: dataDepth - 1}
	if end := s.value(0); 0 <= end && end < len(data) {
		s.fail("unexpected data after the object")
	}
	if s.code != "" {
		return &Error{Code: s.code, Message: s.message}
	}
	return nil
}

// dataDepth is the depth of content.data in an envelope.
const dataDepth = 3

func appendStringOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return appendString(dst, s)
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	// Read only, and only during this call.
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	for i := 0; ; {
		end, ascii := plain(b, i)
		if ascii {
			dst = append(dst, b[i:end]...)
		} else {
			dst = appendValid(dst, b[i:end])
		}
		if end == len(b) {
			return append(dst, '"')
		}
		dst = appendEscaped(dst, b[end])
		i = end + 1
	}
}

// appendValid appends b with each byte that is not part of a valid UTF-8
// sequence replaced with U+FFFD.
func appendValid(dst, b []byte) []byte {
	if utf8.Valid(b) {
		return append(dst, b...)
	}
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		dst = utf8.AppendRune(dst, r)
		b = b[size:]
	}
	return dst
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
