package protocol

import "unicode/utf8"

// Bounds on what the Parse functions keep of a peer's data.
const (
	maxCapabilities = 64
	maxNameLen      = 128
	maxTextLen      = 1024
)

// ErrorData builds the data of an error envelope:
// {"message":…,"code":…,"id":…}. An empty id, which would name the entry in the
// sender's log, is left out.
func ErrorData(code, message, id string) []byte {
	dst := appendString([]byte(`{"message":`), message)
	dst = appendString(append(dst, `,"code":`...), code)
	if id != "" {
		dst = appendString(append(dst, `,"id":`...), id)
	}
	return append(dst, '}')
}

// ParseErrorData reads the data of an error envelope. A 1.0 peer sends only the
// message, a hostile one anything: what is missing, not a string or in data that
// is not a JSON object comes back empty. message is cut at 1024 bytes, a code or
// id beyond 128 bytes is dropped.
func ParseErrorData(data []byte) (code, message, id string) {
	eachMember(data, func(s *scanner, key string) bool {
		switch key {
		case "code":
			return s.parseName(&code)
		case "message":
			return s.parseText(&message)
		case "id":
			return s.parseName(&id)
		}
		return s.value()
	})
	return code, message, id
}

// OpenData builds the data of channel.open and channel.accept:
// {"protocol_version":"1.0","capabilities":[…]}.
func OpenData(capabilities []string) []byte {
	dst := appendString([]byte(`{"protocol_version":`), Version)
	dst = append(dst, `,"capabilities":[`...)
	for i, c := range capabilities {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, c)
	}
	return append(dst, `]}`...)
}

// ParseOpenData reads the data of channel.open and channel.accept. Protocol 1.0
// allows anything there: what is missing, of another type or in data that is not
// a JSON object comes back empty. Capabilities that are not strings, are empty
// or longer than 128 bytes are skipped, those after the 64th dropped.
func ParseOpenData(data []byte) (version string, capabilities []string) {
	eachMember(data, func(s *scanner, key string) bool {
		switch key {
		case "protocol_version":
			return s.parseName(&version)
		case "capabilities":
			return s.parseNames(&capabilities)
		}
		return s.value()
	})
	return version, capabilities
}

// CloseData builds the data of channel.close: {"reason":…}.
func CloseData(reason string) []byte {
	return append(appendString([]byte(`{"reason":`), reason), '}')
}

// CloseAckData builds the data of the channel.close that acknowledges another:
// {"acknowledged":true,"reason":…}.
func CloseAckData(reason string) []byte {
	return append(appendString([]byte(`{"acknowledged":true,"reason":`), reason), '}')
}

// ParseCloseData reads the data of channel.close, of either kind. A reason that
// is missing, empty or not a string is "normal", as in the Python SDK; a longer
// one is cut at 1024 bytes.
func ParseCloseData(data []byte) (reason string, acknowledged bool) {
	eachMember(data, func(s *scanner, key string) bool {
		switch key {
		case "reason":
			return s.parseText(&reason)
		case "acknowledged":
			lo := s.i
			ok := s.value()
			acknowledged = ok && string(s.b[lo:s.i]) == "true"
			return ok
		}
		return s.value()
	})
	if reason == "" {
		reason = "normal"
	}
	return reason, acknowledged
}

// eachMember calls visit for the members of a JSON object, with the scanner at
// the value; visit scans it. It stops at the first thing that is wrong.
func eachMember(data []byte, visit func(s *scanner, key string) bool) {
	if len(data) > topMaxBytes {
		return
	}
	s := &scanner{b: data, maxDepth: topMaxDepth}
	if s.next() != '{' {
		return
	}
	s.enter()
	for first := true; ; first = false {
		key, more := s.member(first)
		if !more {
			return
		}
		if !visit(s, string(s.keyBytes(s.unescapedKey(key)))) {
			return
		}
	}
}

// parseText scans a value and, if it is a string, stores as much of it as the
// bounds allow.
func (s *scanner) parseText(into *string) bool {
	text, ok := s.stringOr()
	if len(text) > maxTextLen {
		text = text[:maxTextLen]
		for !utf8.Valid(text) {
			text = text[:len(text)-1]
		}
	}
	*into = string(text)
	return ok
}

// parseName scans a value and, if it is a string short enough, stores it.
func (s *scanner) parseName(into *string) bool {
	text, ok := s.stringOr()
	if len(text) > maxNameLen {
		text = nil
	}
	*into = string(text)
	return ok
}

// parseNames scans a value and, if it is an array, appends the strings in it.
func (s *scanner) parseNames(into *[]string) bool {
	if s.i >= len(s.b) || s.b[s.i] != '[' {
		return s.value()
	}
	s.enter()
	if s.next() == ']' {
		return s.leave()
	}
	for {
		var name string
		if !s.parseName(&name) {
			return false
		}
		if name != "" && len(*into) < maxCapabilities {
			*into = append(*into, name)
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

// stringOr scans a value and returns it unescaped if it is a string, else nil.
func (s *scanner) stringOr() (text []byte, ok bool) {
	if s.i >= len(s.b) || s.b[s.i] != '"' {
		return nil, s.value()
	}
	p, ok := s.str()
	if !ok {
		return nil, false
	}
	return appendUnescaped(nil, s.b[p.lo:p.hi]), true
}
