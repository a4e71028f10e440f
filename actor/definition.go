package actor

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"unicode/utf8"
)

// Definition is what a node hosts: a [Workflow] or an [Object].
type Definition interface{ define(*registry) }

// Declaration is what a type declares beside its code: its hooks, streams and migrations.
type Declaration interface{ declare(*registry, *typeDef) }

// registry collects a node's types, and what is wrong with them.
type registry struct {
	schemas  Schemas
	types    map[string]*typeDef
	problems []string
}

// typeDef is a type as the engine sees it: names, schemas and code, without type parameters.
type typeDef struct {
	name    string
	hooks   map[string]*hookDef
	streams map[string]*streamDef
	history historyPolicy
	object  *objectCode   // nil for a workflow
	run     *workflowCode // nil for an object

	migrations      migrations // as declared: of an object's state, of a workflow's input
	checkpoints     migrations // of a workflow's checkpoints
	historyDeclared bool
	alarms          map[string]*alarmDef // of an object
}

// hookDef is one named entry point: a workflow's hook, an object's method or query.
type hookDef struct {
	name   string
	in     Schema
	out    Schema
	decode func(payload []byte) error // whether the payload decodes into the Go type
	method methodFunc                 // nil unless it is a method
	query  queryFunc                  // nil unless it is a query

	migrations migrations // of the payload
}

// newRegistry compiles definitions. Its error is a [*DefinitionError] that names every mistake at once.
func newRegistry(schemas Schemas, defs []Definition) (*registry, error) {
	r := &registry{schemas: schemas, types: map[string]*typeDef{}}
	for _, d := range defs {
		d.define(r)
	}
	if len(r.problems) > 0 {
		return nil, &DefinitionError{Problems: r.problems}
	}
	return r, nil
}

func (r *registry) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// add takes up a type; two definitions of one name are a mistake.
func (r *registry) add(name string) *typeDef {
	t := &typeDef{name: name, hooks: map[string]*hookDef{}, streams: map[string]*streamDef{}, alarms: map[string]*alarmDef{}}
	if err := checkTypeName(name); err != nil {
		r.problem("%v", err)
	}
	if r.types[name] != nil {
		r.problem("type %s is defined twice", name)
	}
	r.types[name] = t
	return t
}

func (r *registry) addHook(t *typeDef, h *hookDef) {
	if err := checkName(h.name); err != nil {
		r.problem("%s: hook %v", t.name, err)
	}
	if t.hooks[h.name] != nil {
		r.problem("%s: hook %s is defined twice", t.name, h.name)
	}
	t.hooks[h.name] = h
}

// schema returns the schema of T; a mistake in T is a problem of owner.
func schemaOf[T any](r *registry, owner string) Schema {
	s, err := r.schemas.For(reflect.TypeFor[T]())
	if err != nil {
		r.problem("%s: %v", owner, err)
	}
	return s
}

func hookOf[In, Out any](r *registry, t *typeDef, name string, ms ...*Migration) *hookDef {
	migrations(ms).check(r, t.name+"."+name+" payload", reflect.TypeFor[In]())
	return &hookDef{
		name: name, migrations: ms,
		in:     schemaOf[In](r, t.name+"."+name+" payload"),
		out:    schemaOf[Out](r, t.name+"."+name+" result"),
		decode: decodes[In],
	}
}

// decodes reports whether data is a value of T. What a schema takes and Go does not, such as 300 for an int8, ends here.
func decodes[T any](data []byte) error {
	var v T
	return json.Unmarshal(data, &v)
}

// names returns the types' names in order.
func (r *registry) names() []string { return slices.Sorted(maps.Keys(r.types)) }

// description is what $describe of a type answers.
type description struct {
	Type    string              `json:"type"`
	Kind    string              `json:"kind"`
	Input   json.RawMessage     `json:"input,omitempty"`   // schema of $start, workflows only
	Result  json.RawMessage     `json:"result,omitempty"`  // schema of the run's result
	State   json.RawMessage     `json:"state,omitempty"`   // schema of the state, objects only
	Version int                 `json:"version,omitempty"` // of input or state, where it is not 1
	Start   string              `json:"start,omitempty"`   // "first call" or "$start"
	Hooks   []hookDescription   `json:"hooks"`
	Alarms  []alarmDescription  `json:"alarms,omitempty"` // objects only
	Streams []streamDescription `json:"streams"`
	Policy  policyDescription   `json:"policies"`
}

type hookDescription struct {
	Name    string          `json:"name"`
	Kind    string          `json:"kind"`              // hook, method or query
	Version int             `json:"version,omitempty"` // of the input, where it is not 1
	Input   json.RawMessage `json:"input"`
	Output  json.RawMessage `json:"output"`
}

type alarmDescription struct {
	Name     string          `json:"name"`
	Version  int             `json:"version,omitempty"` // of the input, where it is not 1
	Input    json.RawMessage `json:"input"`
	Attempts int             `json:"attempts"`
}

type streamDescription struct {
	Name   string          `json:"name"`
	Schema json.RawMessage `json:"schema"`
	Keep   string          `json:"keep,omitempty"` // how long a chunk is kept; for ever without it
}

type policyDescription struct {
	History string `json:"history"`
	CallIDs int    `json:"call_ids"`
}

func (t *typeDef) describe() description {
	d := description{Type: t.name, Version: t.migrations.recorded(), Hooks: []hookDescription{}, Streams: []streamDescription{}, Policy: policyDescription{t.history.String(), idsKept}}
	if t.object != nil {
		d.Kind, d.State = "object", t.object.schema.JSON()
	} else {
		d.Kind, d.Input, d.Result, d.Start = "workflow", t.run.in.JSON(), t.run.out.JSON(), "$start"
		if t.run.startsItself {
			d.Start = "first call"
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.hooks)) {
		h := t.hooks[name]
		d.Hooks = append(d.Hooks, hookDescription{name, h.kind(), h.migrations.recorded(), h.in.JSON(), h.out.JSON()})
	}
	for _, name := range slices.Sorted(maps.Keys(t.alarms)) {
		a := t.alarms[name]
		d.Alarms = append(d.Alarms, alarmDescription{name, a.migrations.recorded(), a.in.JSON(), a.retry.Attempts})
	}
	for _, name := range slices.Sorted(maps.Keys(t.streams)) {
		s := t.streams[name]
		sd := streamDescription{Name: name, Schema: s.schema.JSON()}
		if s.keep > 0 {
			sd.Keep = s.keep.String()
		}
		d.Streams = append(d.Streams, sd)
	}
	return d
}

func (h *hookDef) kind() string {
	switch {
	case h.method != nil:
		return "method"
	case h.query != nil:
		return "query"
	}
	return "hook"
}

// accept validates, completes and decodes a payload: what it returns is what log and user code see.
func (h *Host) accept(s Schema, decode func([]byte) error, payload []byte) ([]byte, *Error) {
	if !utf8.Valid(payload) {
		return nil, Errorf(CodeInvalid, "the payload is not UTF-8, as JSON must be")
	}
	clean, err := s.Normalize(payload)
	if err != nil {
		return nil, asError(err, CodeInvalid)
	}
	if len(clean) > h.cfg.MaxPayload {
		return nil, Errorf(CodeTooLarge, "the payload with its defaults has %d bytes; at most %d are allowed", len(clean), h.cfg.MaxPayload)
	}
	if err := decode(clean); err != nil {
		return nil, undecodable(clean, err)
	}
	return clean, nil
}

// asError returns err as an [*Error], with code where it is none.
func asError(err error, code Code) *Error {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e
	}
	return Errorf(code, "%v", err)
}
