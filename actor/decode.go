package actor

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// undecodable is the failure of a payload that does not decode, with the details of one that fails its schema.
func undecodable(data []byte, err error) *Error {
	return badPayload(decodeProblem(data, err))
}

// maxQuoted bounds what an error repeats of a payload, in bytes.
const maxQuoted = 300

func badPayload(field, problem string) *Error {
	field, problem = cut(field), cut(problem)
	where := "payload"
	if field != "" {
		where = "payload field " + field
	}
	return Errorf(CodeInvalid, "%s: %s", where, problem).With(map[string]string{"field": field, "problem": problem})
}

// decodeProblem says where data does not decode, as a JSON pointer, and why, in words of JSON: callers do not know Go's.
func decodeProblem(data []byte, err error) (field, problem string) {
	te := (*json.UnmarshalTypeError)(nil)
	switch {
	case errors.As(err, &te):
		return pointerAt(data, te.Offset), "must be " + wanted(te.Type) + ", not " + strings.TrimPrefix(te.Value, "number ")
	case strings.HasPrefix(err.Error(), "json: "): // encoding/json on Go types
		return "", "does not fit"
	default: // on JSON, or what a type with methods of its own says
		return "", err.Error()
	}
}

func cut(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuoted], "") + "…"
}

// wanted is what a Go type takes.
func wanted(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch k := t.Kind(); {
	case k >= reflect.Int && k <= reflect.Int64:
		n := int64(1)<<(t.Bits()-1) - 1
		return fmt.Sprintf("an integer from %d to %d, without point and exponent", -n-1, n)
	case k >= reflect.Uint && k <= reflect.Uintptr:
		return fmt.Sprintf("an integer from 0 to %d, without point and exponent", ^uint64(0)>>(64-t.Bits()))
	case k == reflect.Float32, k == reflect.Float64:
		return fmt.Sprintf("a number within the range of %d-bit floating point", t.Bits())
	case k == reflect.Bool:
		return "a boolean"
	case k == reflect.String:
		return "a string"
	case k == reflect.Slice, k == reflect.Array:
		return "an array"
	case k == reflect.Map, k == reflect.Struct:
		return "an object"
	}
	return "something else"
}

// pointerAt returns the JSON pointer of the value that ends, or of the object or array that begins, at this offset.
// Empty: the whole value.
func pointerAt(data []byte, offset int64) string {
	type level struct {
		key   string
		index int
		array bool
		named bool // an object's key was read, its value was not
	}
	var path []level
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if err != nil {
			return ""
		}
		delim, _ := token.(json.Delim)
		if delim == '}' || delim == ']' {
			path = path[:len(path)-1]
			continue
		}
		if len(path) > 0 {
			switch top := &path[len(path)-1]; {
			case top.array:
				top.index++
			case !top.named:
				top.key, top.named = token.(string), true
				if dec.InputOffset() < offset {
					continue
				}
			default:
				top.named = false
			}
		}
		if dec.InputOffset() >= offset {
			break
		}
		if delim != 0 {
			path = append(path, level{index: -1, array: delim == '['})
		}
	}
	var pointer strings.Builder
	for _, l := range path {
		if l.array {
			l.key = strconv.Itoa(l.index)
		}
		pointer.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(l.key))
	}
	return pointer.String()
}
