package protocol

import (
	"strconv"
	"strings"
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
// optional and null is the same as absent; sequence is an integer, the rest are
// strings. A sender_id wins over sender, also when it is null.
//
// Every error is an *Error with code CodeInvalidJSON, CodeInvalidMessage,
// CodeInvalidContent, CodeTooLarge or CodeTooDeep. Decode is safe for concurrent
// use.
func Decode(frame []byte, lim Limits) (Envelope, error) {
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
	return d.envelope(), nil
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
	fieldType

	// The fields before this one hold strings.
	stringFields

	fieldSequence
	fieldData
	fieldMeta
	fieldContent
)

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
	objects  uint32 // bit 1<<f: the value of field f was an object
	texts    [stringFields]piece
	sequence int64
	data     piece
}

func (d *decoder) wrong(code, message string) {
	if d.wrongCode == "" {
		d.wrongCode, d.wrongMessage = code, message
	}
}

func (d *decoder) frame() {
	if d.next() != '{' {
		if d.value() && d.end() {
			d.wrong(CodeInvalidMessage, "not an object")
		}
	} else if d.part(partEnvelope) && d.end() {
		d.complete()
	}
	if d.code == "" {
		d.code, d.message = d.wrongCode, d.wrongMessage
	}
}

// end checks that only white space is left.
func (d *decoder) end() bool {
	if d.next(); d.i < len(d.b) {
		return d.fail("unexpected data after the message")
	}
	return true
}

// complete checks that what must be there was there.
func (d *decoder) complete() {
	switch {
	case d.exact&(1<<fieldMeta) == 0:
		d.wrong(CodeInvalidMessage, "meta is missing")
	case d.exact&(1<<fieldContent) == 0:
		d.wrong(CodeInvalidMessage, "content is missing")
	case d.objects&(1<<fieldContent) == 0:
	case d.texts[fieldType].hi == d.texts[fieldType].lo:
		d.wrong(CodeInvalidContent, "content.type is missing or empty")
	}
}

// part scans one part of the envelope.
func (d *decoder) part(in part) bool {
	var unknown keySet
	if !d.enter() {
		return false
	}
	for first := true; ; first = false {
		key, more := d.member(first)
		if !more {
			unknown.release(&d.scanner)
			return d.code == ""
		}
		f, ok := d.known(in, key, &unknown)
		if !ok {
			return d.fail("duplicate key")
		}
		if !d.fieldValue(f) {
			return false
		}
	}
}

// known tells which field a key names. It returns false if the key was there
// before, in whatever case.
func (d *decoder) known(in part, key piece, unknown *keySet) (field, bool) {
	ref := d.unescapedKey(key)
	f := lookup(in, d.keyBytes(ref))
	variant := f
	if f == fieldUnknown {
		ref = d.foldedKey(ref)
		variant = lookup(in, d.keyBytes(ref))
		if variant == fieldUnknown {
			return f, unknown.add(&d.scanner, ref)
		}
	}
	if d.seen&(1<<variant) != 0 {
		return f, false
	}
	d.seen |= 1 << variant
	d.exact |= 1 << f
	return f, true
}

func (d *decoder) fieldValue(f field) bool {
	switch f {
	case fieldUnknown:
		return d.value()
	case fieldMeta:
		return d.partValue(f, partMeta, "meta is not an object")
	case fieldContent:
		return d.partValue(f, partContent, "content is not an object")
	case fieldSequence:
		return d.sequenceValue()
	case fieldData:
		return d.dataValue()
	}
	return d.stringValue(f)
}

// here returns the first byte of the value at i, or 0 at the end.
func (d *decoder) here() byte {
	if d.i < len(d.b) {
		return d.b[d.i]
	}
	return 0
}

func (d *decoder) partValue(f field, in part, message string) bool {
	if d.here() == '{' {
		d.objects |= 1 << f
		return d.part(in)
	}
	d.wrong(CodeInvalidMessage, message)
	return d.value()
}

func (d *decoder) stringValue(f field) bool {
	switch d.here() {
	case '"':
	case 'n':
		return d.value()
	default:
		if !d.value() {
			return false
		}
		d.wrongString(f, " is not a string")
		return true
	}
	p, ok := d.str()
	if !ok {
		return false
	}
	if d.size(p) > d.maxString {
		d.wrongString(f, " is too long")
		return true
	}
	d.texts[f] = p
	return true
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
	}
	if f == fieldType {
		d.wrong(CodeInvalidContent, "content.type"+what)
	} else {
		d.wrong(CodeInvalidMessage, "meta."+names[f]+what)
	}
}

func (d *decoder) sequenceValue() bool {
	lo := d.i
	if c := d.here(); c == 'n' {
		return d.value()
	} else if !d.value() {
		return false
	}
	n, err := strconv.ParseInt(string(d.b[lo:d.i]), 10, 64)
	if err != nil {
		d.wrong(CodeInvalidMessage, "meta.sequence is not an integer of 64 bits")
	}
	d.sequence = n
	return true
}

func (d *decoder) dataValue() bool {
	c, lo := d.here(), d.i
	if !d.value() {
		return false
	}
	switch c {
	case '{':
		d.data = piece{lo: lo, hi: d.i}
	case 'n':
	default:
		d.wrong(CodeInvalidContent, "content.data is not an object")
	}
	return true
}

// size returns the length of p once it is unescaped.
func (d *decoder) size(p piece) int {
	if p.escaped {
		return unescapedLen(d.b[p.lo:p.hi])
	}
	return p.hi - p.lo
}

func (d *decoder) err() error {
	id := d.texts[fieldMessageID]
	return &Error{
		Code:    d.code,
		Message: d.message,
		ReplyTo: string(appendUnescaped(nil, d.b[id.lo:id.hi])),
	}
}

const emptyObject = "{}"

// envelope copies the fields found into one allocation.
func (d *decoder) envelope() Envelope {
	if d.exact&(1<<fieldSenderID) != 0 {
		d.texts[fieldSender], d.texts[fieldSenderID] = d.texts[fieldSenderID], piece{}
	}
	typ := d.texts[fieldType]
	known := knownType(d.b[typ.lo:typ.hi])
	if known != "" {
		d.texts[fieldType] = piece{}
	}
	size := max(d.data.hi-d.data.lo, len(emptyObject))
	for f := range d.texts {
		size += d.size(d.texts[f])
	}
	var into strings.Builder
	into.Grow(size)
	e := Envelope{
		MessageID: d.copyString(&into, fieldMessageID),
		ChannelID: d.copyString(&into, fieldChannelID),
		Sequence:  d.sequence,
		Timestamp: d.copyString(&into, fieldTimestamp),
		Sender:    d.copyString(&into, fieldSender),
		Recipient: d.copyString(&into, fieldRecipient),
		ReplyTo:   d.copyString(&into, fieldReplyTo),
		Type:      d.copyString(&into, fieldType),
	}
	if known != "" {
		e.Type = known
	}
	start := into.Len()
	if d.data.hi > d.data.lo {
		into.Write(d.b[d.data.lo:d.data.hi])
	} else {
		into.WriteString(emptyObject)
	}
	// The bytes behind data belong to no string, and nobody else has them.
	data := into.String()[start:]
	e.Data = unsafe.Slice(unsafe.StringData(data), len(data))
	return e
}

// copyString appends a field to the builder, which has room, and returns it as
// part of the builder's memory.
func (d *decoder) copyString(into *strings.Builder, f field) string {
	p := d.texts[f]
	start := into.Len()
	if p.escaped {
		into.Write(appendUnescaped(nil, d.b[p.lo:p.hi]))
	} else {
		into.Write(d.b[p.lo:p.hi])
	}
	return into.String()[start:]
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
