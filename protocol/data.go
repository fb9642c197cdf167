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
	eachMember(data, func(s *scanner, i int, key string) int {
		switch key {
		case "code":
			return s.parseName(i, &code)
		case "message":
			return s.parseText(i, &message)
		case "id":
			return s.parseName(i, &id)
		}
		return s.value(i)
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
	eachMember(data, func(s *scanner, i int, key string) int {
		switch key {
		case "protocol_version":
			return s.parseName(i, &version)
		case "capabilities":
			return s.parseNames(i, &capabilities)
		}
		return s.value(i)
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

// ParseCloseData returns the reason in the data of channel.close, of either
// kind. A reason that is missing, empty or not a string is "normal", as in the
// Python SDK; a long one is cut at 1024 bytes.
func ParseCloseData(data []byte) (reason string) {
	eachMember(data, func(s *scanner, i int, key string) int {
		if key == "reason" {
			return s.parseText(i, &reason)
		}
		return s.value(i)
	})
	if reason == "" {
		return "normal"
	}
	return reason
}

// eachMember calls visit for the members of a JSON object, with the position of
// the value; visit scans it. It stops at the first thing that is wrong.
func eachMember(data []byte, visit func(s *scanner, i int, key string) int) {
	if len(data) > topMaxBytes {
		return
	}
	s := &scanner{b: data, maxDepth: topMaxDepth}
	i := s.skip(0)
	if s.at(i) != '{' {
		return
	}
	i = s.enter(i)
	for first := true; i >= 0; first = false {
		var more bool
		if i, more = s.key(i, first); !more {
			return
		}
		key := s.str(i)
		if i = s.colon(key.hi + 1); i >= 0 {
			i = visit(s, i, string(s.bytes(s.text(key))))
		}
	}
}

// parseText scans a value and, if it is a string, stores as much of it as the
// bounds allow.
func (s *scanner) parseText(i int, into *string) int {
	text, end := s.stringOr(i)
	if len(text) > maxTextLen {
		text = text[:maxTextLen]
		for !utf8.Valid(text) {
			text = text[:len(text)-1]
		}
	}
	*into = string(text)
	return end
}

// parseName scans a value and, if it is a string short enough, stores it.
func (s *scanner) parseName(i int, into *string) int {
	text, end := s.stringOr(i)
	if len(text) > maxNameLen {
		text = nil
	}
	*into = string(text)
	return end
}

// parseNames scans a value and, if it is an array, appends the strings in it.
func (s *scanner) parseNames(i int, into *[]string) int {
	end := s.value(i)
	if end < 0 || s.b[i] != '[' {
		return end
	}
	for i = s.skip(i + 1); s.b[i] != ']'; {
		var name string
		i = s.skip(s.parseName(i, &name))
		if name != "" && len(*into) < maxCapabilities {
			*into = append(*into, name)
		}
		if s.b[i] == ',' {
			i = s.skip(i + 1)
		}
	}
	return end
}

// stringOr scans a value and returns it unescaped if it is a string, else nil.
func (s *scanner) stringOr(i int) (text []byte, end int) {
	if s.at(i) != '"' {
		return nil, s.value(i)
	}
	l := s.str(i)
	if l.hi < 0 {
		return nil, -1
	}
	return s.bytes(s.text(l)), l.hi + 1
}
