package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

const (
	maxBody   = 64 << 10
	maxHeader = 16 << 10
	maxEcho   = 256 // offending values longer than this are not sent back
)

// problem is one entry of a 422 answer, in the form FastAPI gives it.
type problem struct {
	Type  string          `json:"type"`
	Loc   []any           `json:"loc"`
	Msg   string          `json:"msg"`
	Input json.RawMessage `json:"input"`
	Ctx   map[string]any  `json:"ctx,omitempty"`
}

// problems collects what is wrong with a request, to be reported all at once.
type problems []problem

func (p *problems) add(kind, msg string, input json.RawMessage, loc ...any) {
	if input == nil || len(input) > maxEcho {
		input = json.RawMessage("null")
	}
	*p = append(*p, problem{Type: kind, Loc: loc, Msg: msg, Input: input})
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &refusal{status: http.StatusUnprocessableEntity, detail: p}
}

// readBody reads the whole body, at most maxBody bytes of JSON.
func readBody(r *http.Request) (json.RawMessage, error) {
	data, err := io.ReadAll(r.Body)
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the request body is too large")
	case err != nil:
		return nil, refuseFor(err, http.StatusBadRequest, "the request body cannot be read")
	}
	var p problems
	switch {
	case len(strings.TrimSpace(string(data))) == 0:
		p.add("missing", "Field required", nil, "body")
	case !utf8.Valid(data) || !json.Valid(data):
		p.add("json_invalid", "JSON decode error", nil, "body", 0)
	}
	return data, p.err()
}

// form is the JSON object in a body; its methods note what is wrong with it.
// Keys are compared exactly, unknown ones are ignored.
type form struct {
	fields map[string]json.RawMessage
	bad    problems
}

func readForm(r *http.Request) (*form, error) {
	data, err := readBody(r)
	if err != nil {
		return nil, err
	}
	f := &form{}
	if err := json.Unmarshal(data, &f.fields); err != nil || f.fields == nil {
		f.bad.add("model_attributes_type", "Input should be a valid dictionary or object to extract fields from", data, "body")
		return nil, f.bad.err()
	}
	return f, nil
}

// text returns a string field, nil if it is absent or null.
func (f *form) text(key string) *string {
	raw, ok := f.fields[key]
	if !ok || string(raw) == "null" {
		return nil
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		f.bad.add("string_type", "Input should be a valid string", raw, "body", key)
		return nil
	}
	return &s
}

// required is text for a field that must be there.
func (f *form) required(key string) string {
	raw, ok := f.fields[key]
	if !ok {
		f.bad.add("missing", "Field required", nil, "body", key)
		return ""
	}
	if string(raw) == "null" {
		f.bad.add("string_type", "Input should be a valid string", raw, "body", key)
		return ""
	}
	if s := f.text(key); s != nil {
		return *s
	}
	return ""
}

func (f *form) flag(key string) *bool {
	raw, ok := f.fields[key]
	if !ok || string(raw) == "null" {
		return nil
	}
	var b bool
	if json.Unmarshal(raw, &b) != nil {
		f.bad.add("bool_parsing", "Input should be a valid boolean, unable to interpret input", raw, "body", key)
		return nil
	}
	return &b
}

func (f *form) uuid4(key string, s string) string {
	id, err := parseUUID4(s)
	if err != nil {
		f.bad.add("uuid_parsing", "Input should be a valid UUID: "+err.Error(), f.fields[key], "body", key)
	}
	return id
}

var (
	providerName = regexp.MustCompile(`^[a-zA-Z0-9_\s-]{3,50}$`)
	errUUID      = errors.New("not a version 4 UUID in its usual form")
)

func (f *form) name(key string) *string {
	s := f.text(key)
	if s != nil && !providerName.MatchString(*s) {
		f.bad.add("string_pattern_mismatch", "String should match pattern '"+providerName.String()+"'", f.fields[key], "body", key)
	}
	return s
}

func (f *form) email(key string) *string {
	s := f.text(key)
	if s == nil {
		return nil
	}
	a, err := mail.ParseAddress(*s)
	if err != nil || a.Address != *s || len(*s) > 254 || !strings.Contains((*s)[strings.LastIndexByte(*s, '@'):], ".") {
		f.bad.add("value_error", "value is not a valid email address", f.fields[key], "body", key)
	}
	return s
}

// agentName is free text of one line.
func (f *form) agentName(key string) *string {
	s := f.text(key)
	if s == nil {
		return nil
	}
	bad := func(c rune) bool { return !unicode.IsPrint(c) }
	if *s == "" || utf8.RuneCountInString(*s) > 100 || strings.ContainsFunc(*s, bad) {
		f.bad.add("value_error", "a name has 1 to 100 printable characters", f.fields[key], "body", key)
	}
	return s
}

// permissionList decodes a JSON array of permissions; loc says where it stood.
func permissionList(raw json.RawMessage, limit int, bad *problems, loc ...any) []permission {
	at := func(more ...any) []any { return append(append([]any{}, loc...), more...) }
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil || items == nil {
		bad.add("list_type", "Input should be a valid list", raw, loc...)
		return nil
	}
	if len(items) > limit {
		bad.add("too_long", fmt.Sprintf("List should have at most %d items", limit), nil, loc...)
		return nil
	}
	list := make([]permission, 0, len(items))
	for i, item := range items {
		f := form{}
		if json.Unmarshal(item, &f.fields) != nil || f.fields == nil {
			bad.add("model_attributes_type", "Input should be a valid dictionary or object to extract fields from", item, at(i)...)
			continue
		}
		p := permission{Kind: f.required("type"), Target: f.required("target_id")}
		if len(f.bad) == 0 {
			f.checkPermission(&p)
		}
		for _, b := range f.bad {
			bad.add(b.Type, b.Msg, b.Input, at(append([]any{i}, b.Loc[1:]...)...)...)
		}
		list = append(list, p)
	}
	return list
}

func (f *form) checkPermission(p *permission) {
	switch p.Kind {
	case allowAgent:
		id, err := uuid.Parse(p.Target)
		if err != nil {
			f.bad.add("uuid_parsing", "Input should be a valid UUID", f.fields["target_id"], "body", "target_id")
		}
		p.Target = id.String()
	case allowProvider:
		if !providerName.MatchString(p.Target) {
			f.bad.add("value_error", "not a provider id", f.fields["target_id"], "body", "target_id")
		}
		if id, err := uuid.Parse(p.Target); err == nil {
			p.Target = id.String()
		}
	default:
		f.bad.add("enum", "Input should be 'allow_agent' or 'allow_provider'", f.fields["type"], "body", "type")
	}
}

// parseUUID4 takes the usual form only, in either case, and returns lower case.
func parseUUID4(s string) (string, error) {
	id, err := uuid.Parse(s)
	if err != nil || len(s) != 36 || id.Version() != 4 || id.Variant() != uuid.RFC4122 {
		return "", errUUID
	}
	return id.String(), nil
}

// pathID is the id in the path, or the 422 that FastAPI gives.
func pathID(r *http.Request, name string) (string, error) {
	return checkedID(r.PathValue(name), "path", name)
}

func checkedID(s, where, name string) (string, error) {
	id, err := parseUUID4(s)
	if err != nil {
		var p problems
		input, _ := json.Marshal(s)
		p.add("uuid_parsing", "Input should be a valid UUID: "+err.Error(), input, where, name)
		return "", p.err()
	}
	return id, nil
}

// queryInt is an optional whole number in the query.
func queryInt(r *http.Request, name string, byDefault, low, high int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return byDefault, nil
	}
	var p problems
	input, _ := json.Marshal(text)
	n, err := strconv.Atoi(text)
	switch {
	case err != nil:
		p.add("int_parsing", "Input should be a valid integer, unable to parse string as an integer", input, "query", name)
	case n < low:
		p.add("greater_than_equal", fmt.Sprintf("Input should be greater than or equal to %d", low), input, "query", name)
	case n > high:
		p.add("less_than_equal", fmt.Sprintf("Input should be less than or equal to %d", high), input, "query", name)
	}
	return n, p.err()
}

// header returns a header that may be there once at most.
func header(r *http.Request, name string) (value string, present bool, err error) {
	values := r.Header.Values(name)
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
		return values[0], true, nil
	}
	var p problems
	p.add("value_error", "the header is given more than once", nil, "header", name)
	return "", true, p.err()
}

// requiredHeader returns a header that must be there, and once.
func requiredHeader(r *http.Request, name string) (string, error) {
	value, present, err := header(r, name)
	if err == nil && !present {
		var p problems
		p.add("missing", "Field required", nil, "header", name)
		err = p.err()
	}
	return value, err
}
