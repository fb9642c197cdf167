package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pando-agents/pando/identity"
)

const (
	maxDescription  = 1 << 10 // bytes
	maxCapabilities = 32
	maxCapability   = 64 // bytes
)

// announcement is what a request says about an agent for others to read; nil
// fields are to stay as they are.
type announcement struct {
	endpoint, description *string
	capabilities          []string
}

// announcement reads the three fields, of which any may be missing. null takes
// away what was there, as an empty value does.
func (f *form) announcement() announcement {
	return announcement{f.endpoint("endpoint"), f.description("description"), f.capabilities("capabilities")}
}

// textOrNone is text, but null is an empty string and nil a field that is not there.
func (f *form) textOrNone(key string) *string {
	if string(f.fields[key]) == "null" {
		return new(string)
	}
	return f.text(key)
}

func (f *form) endpoint(key string) *string {
	s := f.textOrNone(key)
	if s == nil || *s == "" {
		return s
	}
	// Where it leads is for those to judge who dial it: they may share a network with it.
	if err := (identity.EndpointPolicy{AllowInsecure: true, AllowPrivate: true}).Check(*s); err != nil {
		f.bad.add("value_error", "the endpoint cannot be taken: "+errors.Unwrap(err).Error(), f.fields[key], "body", key)
	}
	return s
}

// printable keeps line breaks, control sequences and what turns the direction of
// writing out of other people's terminals.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}

func (f *form) description(key string) *string {
	s := f.textOrNone(key)
	if s != nil && (len(*s) > maxDescription || !printable(*s)) {
		f.bad.add("value_error", fmt.Sprintf("a description has at most %d bytes, all printable", maxDescription), f.fields[key], "body", key)
	}
	return s
}

func (f *form) capabilities(key string) []string {
	raw, ok := f.fields[key]
	if !ok {
		return nil
	}
	list := []string{}
	var items []*string
	if json.Unmarshal(raw, &items) != nil {
		f.bad.add("list_type", "Input should be a valid list of strings", raw, "body", key)
		return nil
	}
	if len(items) > maxCapabilities {
		f.bad.add("too_long", fmt.Sprintf("an agent has at most %d capabilities", maxCapabilities), nil, "body", key)
		return nil
	}
	for i, s := range items {
		switch {
		case s == nil || *s == "" || len(*s) > maxCapability || !printable(*s) || strings.Contains(*s, " "):
			f.bad.add("value_error", fmt.Sprintf("a capability has 1 to %d bytes, all printable and no blanks", maxCapability), nil, "body", key, i)
		case slices.Contains(list, *s):
			f.bad.add("value_error", "a capability is there twice", nil, "body", key, i)
		default:
			list = append(list, *s)
		}
	}
	return list
}

// to changes an agent accordingly.
func (n announcement) to(a *agent) error {
	if n.endpoint != nil {
		a.endpoint = *n.endpoint
	}
	if n.description != nil {
		a.description = *n.description
	}
	if n.capabilities == nil {
		return nil
	}
	list, err := json.Marshal(n.capabilities)
	a.capabilities = string(list)
	return err
}
