package protocol

import (
	"bytes"
	"unsafe"
)

// Decode reads one frame. It copies what it keeps, so the frame may be reused
// at once. All strings of the envelope and Data lie in one private allocation:
// keeping one of them for long keeps all of them, Data included (strings.Clone
// helps). Data does not overlap the strings and may be changed.
//
// Decode is strict where readers of JSON differ: the frame must be one JSON
// text (RFC 8259) in UTF-8, without lone surrogates and without repeated keys
// in any object; in the envelope, meta and content a key that differs from
// another only in case counts as repeated. Unknown keys are checked and
// ignored. meta and content must be objects, content.type a non-empty string,
// content.data an object; absent or null data becomes {}. In meta everything is
// optional and null is the same as absent; sequence and timeout_ms are integers,
// the rest are strings. A sender_id wins over sender, also when it is null.
//
// Every error is an *Error with code CodeInvalidJSON, CodeInvalidMessage,
// CodeInvalidContent, CodeTooLarge or CodeTooDeep. Decode is safe for concurrent
// use.
func Decode(frame []byte, lim Limits) (Envelope, error) {
	return decode(frame, lim, false)
}

// DecodeInPlace is Decode without the copy of Data, which is then a part of
// frame. The strings are copied as ever.
func DecodeInPlace(frame []byte, lim Limits) (Envelope, error) {
	return decode(frame, lim, true)
}

func decode(frame []byte, lim Limits, inPlace bool) (e Envelope, err error) {
	lim = lim.withDefaults()
	if len(frame) > lim.MaxBytes {
		return Envelope{}, &Error{Code: CodeTooLarge, Message: "frame too large"}
	}
	d := decoder{
		scanner:   scanner{b: frame, maxDepth: lim.MaxDepth},
		maxString: lim.MaxString,
	}
	d.frame()
	if d.code != "" {
		return Envelope{}, d.err()
	}
	d.envelope(&e, inPlace)
	return e, nil
}

// part is one of the three objects that make an envelope.
type part uint8

const (
	partEnvelope part = iota
	partMeta
	partContent
)

// field is a key that the protocol knows.
type field uint8

const (
	fieldUnknown field = iota
	fieldMessageID
	fieldChannelID
	fieldTimestamp
	fieldSender
	fieldSenderID
	fieldRecipient
	fieldReplyTo
	fieldActor
	fieldType

	// The fields before this one hold strings.
	stringFields

	fieldSequence
	fieldTimeout
	fieldData
	fieldMeta
	fieldContent
)

// longestKey is the length of the longest key that lookup knows.
const longestKey = len("message_id")

// lookup finds the field called name in one part of the envelope.
func lookup(in part, name []byte) field {
	switch in {
	case partEnvelope:
		switch string(name) {
		case "meta":
			return fieldMeta
		case "content":
			return fieldContent
		}
	case partContent:
		switch string(name) {
		case "type":
			return fieldType
		case "data":
			return fieldData
		}
	case partMeta:
		switch string(name) {
		case "message_id":
			return fieldMessageID
		case "channel_id":
			return fieldChannelID
		case "sequence":
			return fieldSequence
		case "timestamp":
			return fieldTimestamp
		case "sender":
			return fieldSender
		case "sender_id":
			return fieldSenderID
		case "recipient":
			return fieldRecipient
		case "reply_to":
			return fieldReplyTo
		case "actor":
			return fieldActor
		case "timeout_ms":
			return fieldTimeout
		}
	}
	return fieldUnknown
}

// decoder finds the fields of an envelope while it scans the frame. The frame
// is scanned to its end even when a field is wrong: bad JSON then has the same
// code wherever it stands, and the message id is found wherever it stands.
type decoder struct {
	scanner
	maxString int

	// The first thing wrong with the fields.
	wrongCode, wrongMessage string

	seen     uint32 // bit 1<<f: the key of field f, or a case variant, was there
	exact    uint32 // bit 1<<f: the key of field f was there
	texts    [stringFields]ref
	sequence int64
	timeout  int64
	data     ref
}

// wrong notes what is wrong with a field; only the first such thing is kept.
func (d *decoder) wrong(code, message string) {
	if d.wrongCode == "" {
		d.wrongCode, d.wrongMessage = code, message
	}
}

func (d *decoder) frame() {
	i := d.skip(0)
	object := d.at(i) == '{'
	if object {
		i = d.part(i, partEnvelope)
	} else {
		i = d.value(i)
	}
	switch {
	case i < 0:
		return
	case d.skip(i) < len(d.b):
		d.fail("unexpected data after the message")
		return
	case !object:
		d.wrong(CodeInvalidMessage, "not an object")
	default:
		d.complete()
	}
	d.code, d.message = d.wrongCode, d.wrongMessage
}

// complete notes what should be there and is not.
func (d *decoder) complete() {
	switch {
	case d.exact&(1<<fieldMeta) == 0:
		d.wrong(CodeInvalidMessage, "meta is missing")
	case d.exact&(1<<fieldContent) == 0:
		d.wrong(CodeInvalidMessage, "content is missing")
	case d.texts[fieldType].size == 0:
		d.wrong(CodeInvalidContent, "content.type is missing or empty")
	}
}

// part scans one part of the envelope.
func (d *decoder) part(i int, in part) int {
	if i = d.enter(i); i < 0 {
		return i
	}
	var unknown *keySet
	for first := true; ; first = false {
		var more, once bool
		if i, more = d.key(i, first); !more {
			return i
		}
		f, next := d.usualKey(i, in)
		if f != fieldUnknown {
			once = d.mark(f, f)
		} else {
			key := d.str(i)
			if next = key.hi + 1; next < 0 {
				return next
			}
			if unknown == nil {
				unknown = new(keySet)
			}
			f, once = d.unusualKey(in, d.text(key), unknown)
		}
		if !once {
			return d.fail("duplicate key")
		}
		if i = d.colon(next); i < 0 {
			return i
		}
		if i = d.fieldValue(i, f); i < 0 {
			return i
		}
	}
}

// usualKey steps over the key at i if it is one that the protocol knows, written
// as everybody writes it.
func (d *decoder) usualKey(i int, in part) (f field, next int) {
	rest := d.b[i+1:]
	size := bytes.IndexByte(rest[:min(len(rest), longestKey+1)], '"')
	if size < 0 {
		return fieldUnknown, i
	}
	return lookup(in, rest[:size]), i + size + 2
}

// unusualKey tells which field any other key names, and whether it is there for
// the first time in whatever case.
func (d *decoder) unusualKey(in part, key ref, unknown *keySet) (f field, once bool) {
	f = lookup(in, d.bytes(key))
	if f != fieldUnknown {
		return f, d.mark(f, f)
	}
	key = d.folded(key)
	if variant := lookup(in, d.bytes(key)); variant != fieldUnknown {
		return f, d.mark(f, variant)
	}
	return f, unknown.add(&d.scanner, key)
}

// mark notes that a key was there; it returns false if it, or a case variant,
// was there before.
func (d *decoder) mark(f, variant field) bool {
	if d.seen&(1<<variant) != 0 {
		return false
	}
	d.seen |= 1 << variant
	d.exact |= 1 << f
	return true
}

func (d *decoder) fieldValue(i int, f field) int {
	switch f {
	case fieldUnknown:
		return d.value(i)
	case fieldMeta:
		return d.partValue(i, partMeta, "meta is not an object")
	case fieldContent:
		return d.partValue(i, partContent, "content is not an object")
	case fieldSequence:
		return d.integerValue(i, &d.sequence, "meta.sequence is not an integer of 64 bits")
	case fieldTimeout:
		return d.integerValue(i, &d.timeout, "meta.timeout_ms is not an integer of 64 bits")
	case fieldData:
		return d.dataValue(i)
	}
	return d.stringValue(i, f)
}

func (d *decoder) partValue(i int, in part, message string) int {
	if d.at(i) == '{' {
		return d.part(i, in)
	}
	d.wrong(CodeInvalidMessage, message)
	return d.value(i)
}

func (d *decoder) stringValue(i int, f field) int {
	if d.at(i) != '"' {
		if d.at(i) != 'n' {
			d.wrongString(f, " is not a string")
		}
		return d.value(i)
	}
	l := d.str(i)
	if l.hi < 0 {
		return -1
	}
	text := d.text(l)
	if int(text.size) > d.maxString {
		d.wrongString(f, " is too long")
	} else {
		d.texts[f] = text
	}
	return l.hi + 1
}

func (d *decoder) wrongString(f field, what string) {
	names := [stringFields]string{
		fieldMessageID: "message_id",
		fieldChannelID: "channel_id",
		fieldTimestamp: "timestamp",
		fieldSender:    "sender",
		fieldSenderID:  "sender_id",
		fieldRecipient: "recipient",
		fieldReplyTo:   "reply_to",
		fieldActor:     "actor",
	}
	if f == fieldType {
		d.wrong(CodeInvalidContent, "content.type"+what)
	} else {
		d.wrong(CodeInvalidMessage, "meta."+names[f]+what)
	}
}

func (d *decoder) integerValue(i int, to *int64, message string) int {
	end := d.value(i)
	if end < 0 || d.b[i] == 'n' {
		return end
	}
	n, ok := parseInt(d.b[i:end])
	if !ok {
		d.wrong(CodeInvalidMessage, message)
	}
	*to = n
	return end
}

func (d *decoder) dataValue(i int) int {
	end := d.value(i)
	if end < 0 {
		return end
	}
	switch d.b[i] {
	case '{':
		d.data = ref{off: uint32(i), size: uint32(end - i)}
	case 'n':
	default:
		d.wrong(CodeInvalidContent, "content.data is not an object")
	}
	return end
}

// parseInt reads a JSON number that is an integer of 64 bits.
func parseInt(b []byte) (int64, bool) {
	negative := b[0] == '-'
	if negative {
		b = b[1:]
	}
	// 19 digits do not overflow an uint64.
	if len(b) > 19 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || '9' < c {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if negative {
		return -int64(n), n <= 1<<63
	}
	return int64(n), n < 1<<63
}

func (d *decoder) err() error {
	return &Error{
		Code:    d.code,
		Message: d.message,
		ReplyTo: string(d.bytes(d.texts[fieldMessageID])),
	}
}

const emptyObject = "{}"

// envelope copies the fields found into one allocation, Data only if it is not to
// stay where it is.
func (d *decoder) envelope(e *Envelope, inPlace bool) {
	sender := d.texts[fieldSender]
	if d.exact&(1<<fieldSenderID) != 0 {
		sender = d.texts[fieldSenderID]
	}
	typ := d.bytes(d.texts[fieldType])
	known := knownType(typ)
	if known != "" {
		typ = nil
	}
	data := d.bytes(d.data)
	if len(data) == 0 {
		data = []byte(emptyObject)
	}
	parts := [...][]byte{
		d.bytes(d.texts[fieldMessageID]),
		d.bytes(d.texts[fieldChannelID]),
		d.bytes(d.texts[fieldTimestamp]),
		d.bytes(sender),
		d.bytes(d.texts[fieldRecipient]),
		d.bytes(d.texts[fieldReplyTo]),
		d.bytes(d.texts[fieldActor]),
		typ,
	}
	size := 0
	if !inPlace {
		size = len(data)
	}
	for _, p := range parts {
		size += len(p)
	}
	all := make([]byte, 0, size)
	for _, p := range parts {
		all = append(all, p...)
	}
	end := len(all)
	e.Data = data[:len(data):len(data)]
	if !inPlace {
		e.Data = append(all[end:], data...)
	}
	// Nobody else has these bytes, so nobody can change the strings.
	text := unsafe.String(unsafe.SliceData(all), end)
	e.MessageID, text = text[:len(parts[0])], text[len(parts[0]):]
	e.ChannelID, text = text[:len(parts[1])], text[len(parts[1]):]
	e.Timestamp, text = text[:len(parts[2])], text[len(parts[2]):]
	e.Sender, text = text[:len(parts[3])], text[len(parts[3]):]
	e.Recipient, text = text[:len(parts[4])], text[len(parts[4]):]
	e.ReplyTo, text = text[:len(parts[5])], text[len(parts[5]):]
	e.Actor, e.Type = text[:len(parts[6])], text[len(parts[6]):]
	if known != "" {
		e.Type = known
	}
	e.Sequence, e.Timeout = d.sequence, d.timeout
}

// knownType returns the constant equal to name, so that the usual types are not
// copied; empty if there is none.
func knownType(name []byte) string {
	switch string(name) {
	case TypeRequest:
		return TypeRequest
	case TypeResponse:
		return TypeResponse
	case TypeEvent:
		return TypeEvent
	case TypeError:
		return TypeError
	case TypeHeartbeat:
		return TypeHeartbeat
	case TypeOpen:
		return TypeOpen
	case TypeAccept:
		return TypeAccept
	case TypeReject:
		return TypeReject
	case TypeClose:
		return TypeClose
	}
	return ""
}
