package schema

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/perdure/perdure/actor"
)

// Longest text of an error, in bytes: payloads are quoted in it.
const (
	maxField   = 1024
	maxProblem = 300
)

// details says what is wrong where. Field is a JSON pointer, cut when it is longer than 1 KiB.
type details struct {
	Field   string `json:"field"`
	Problem string `json:"problem"`
}

// problem reports what is wrong with the value at hand.
func (w *walk) problem(text string) error {
	var pointer strings.Builder
	for _, s := range w.path {
		pointer.WriteByte('/')
		if s.inArr {
			pointer.WriteString(strconv.Itoa(s.index))
		} else {
			pointer.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(s.key))
		}
	}
	d := details{Field: cut(pointer.String(), maxField), Problem: cut(text, maxProblem)}
	where := "payload"
	if d.Field != "" {
		where = "payload field " + cut(d.Field, maxProblem)
	}
	return actor.Errorf(actor.CodeInvalid, "%s: %s", where, d.Problem).With(d)
}

// invalid reports the first problem of a validation error.
func (w *walk) invalid(err error) error {
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return w.problem(err.Error())
	}
	found := causes(invalid)
	// The validator looks at keys in random order.
	first := slices.MinFunc(found, func(a, b *jsonschema.ValidationError) int {
		return cmp.Or(slices.Compare(a.InstanceLocation, b.InstanceLocation), strings.Compare(describe(a), describe(b)))
	})
	for _, key := range first.InstanceLocation {
		w.path = append(w.path, step{key: key})
	}
	if missing, ok := first.ErrorKind.(*kind.Required); ok {
		w.path = append(w.path, step{key: missing.Missing[0]})
	}
	return w.problem(describe(first))
}

// causes returns the errors under e that say something by themselves.
func causes(e *jsonschema.ValidationError) []*jsonschema.ValidationError {
	switch e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		var found []*jsonschema.ValidationError
		for _, c := range e.Causes {
			found = append(found, causes(c)...)
		}
		return found
	default:
		return []*jsonschema.ValidationError{e}
	}
}

func describe(e *jsonschema.ValidationError) string {
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		return "is missing; it is required"
	case *kind.Type:
		return "must be " + strings.Join(k.Want, " or ") + ", not " + k.Got
	case *kind.AnyOf, *kind.OneOf:
		text := "must match one of the allowed forms"
		if len(e.Causes) > 0 {
			text += ", such as the first: " + describe(causes(&jsonschema.ValidationError{ErrorKind: &kind.Group{}, Causes: e.Causes})[0])
		}
		return text
	default:
		return e.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	}
}
