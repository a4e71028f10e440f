package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/perdure/perdure/actor"
)

// payload is the schema of a type.
type payload struct {
	root *node
	json json.RawMessage
}

var _ actor.Schema = (*payload)(nil)

// JSON returns the JSON Schema. It is the caller's.
func (p *payload) JSON() json.RawMessage { return bytes.Clone(p.json) }

// Normalize returns data validated, with defaults, without unknown fields, compact. Empty data is null.
// Defaults can make it longer than data, which it neither keeps nor changes. Its error is an *actor.Error with code 400.
func (p *payload) Normalize(data []byte) ([]byte, error) {
	v, err := decode(data)
	w := walk{}
	if err != nil {
		return nil, w.problem("not valid JSON, send exactly one JSON value: " + err.Error())
	}
	w.out = make([]byte, 0, len(data)+64)
	if err := w.value(p.root, v); err != nil {
		return nil, err
	}
	return w.out, nil
}

// decode reads exactly one JSON value; nothing is null. Numbers keep their digits, of equal keys the last wins.
func decode(data []byte) (any, error) {
	if len(data) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("%w at byte %d", err, syntax.Offset)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, errors.New("it ends too early")
		}
		return nil, err
	}
	end := dec.InputOffset()
	if rest := bytes.TrimLeft(data[end:], " \t\r\n"); len(rest) > 0 {
		return nil, fmt.Errorf("more data after the value, at byte %d", len(data)-len(rest)+1)
	}
	return v, nil
}

// What a validated number may be. The validator computes exactly: its time grows with the square of the
// length, and it computes 10 to the exponent.
const (
	maxNumberLen = 1000
	maxExponent  = 1000
)

func oversize(n json.Number) bool {
	if len(n) > maxNumberLen {
		return true
	}
	e := strings.IndexAny(string(n), "eE")
	if e < 0 {
		return false
	}
	exponent, err := strconv.Atoi(string(n[e+1:]))
	return err != nil || exponent > maxExponent || exponent < -maxExponent
}
