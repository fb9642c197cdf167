package remote

import (
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"github.com/pando-agents/pando/protocol"
)

// ErrUnnamed says that a message cannot be sent: the protocol has no name for
// its type, or it cannot be written as JSON.
var ErrUnnamed = errors.New("message cannot be sent")

// encode returns the type and the data of a message.
func (p *Protocol[M]) encode(m M) (*kind, []byte, error) {
	k := p.types[reflect.TypeOf(any(m))]
	if k == nil {
		return nil, nil, fmt.Errorf("%w: %T has no name in the protocol", ErrUnnamed, m)
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrUnnamed, k.name, err)
	}
	if err := checkData(data); err != nil {
		return nil, nil, fmt.Errorf("%w: %s: %w", ErrUnnamed, k.name, err)
	}
	return k, data, nil
}

func checkData(data []byte) error {
	return protocol.CheckData(data, protocol.Limits{MaxBytes: len(data) + 1})
}

// encodeAnswer writes an answer: a struct or a map as it is, anything else as
// {"value": …}, as data on the wire is an object.
func encodeAnswer(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	switch {
	case !plain(reflect.TypeOf(v)):
		data = append(append([]byte(`{"value":`), data...), '}')
	case data[0] != '{': // a nil map
		return []byte("{}"), nil
	}
	return data, checkData(data)
}

// decodeAnswer reads an answer into what v points to.
func decodeAnswer(data []byte, v any) error {
	if !plain(reflect.TypeOf(v).Elem()) {
		value := protocol.Member(data, "value")
		if value == nil {
			return fmt.Errorf("answer has no member \"value\" for a %v", reflect.TypeOf(v).Elem())
		}
		data = value
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	return nil
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// plain reports whether values of type t become JSON objects.
func plain(t reflect.Type) bool {
	if t == nil || t.Kind() != reflect.Struct && t.Kind() != reflect.Map {
		return false
	}
	pointer := reflect.PointerTo(t)
	return !pointer.Implements(marshaler) && !pointer.Implements(textMarshaler)
}

// decode reads the fields of a message. The error may be shown to the sender.
func decode(data []byte, pointer any) error {
	err := json.Unmarshal(data, pointer)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Errorf("field %s cannot be a %s", clip(wrong.Field), clip(wrong.Value))
	}
	return errors.New("fields are not as they should be")
}

// empty is the answer to a message that takes none.
var empty = []byte("{}")
