package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	reflected "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// location is where the schema stands for its own references.
const location = "payload:///schema"

// compile makes a payload schema of root and its schema s.
func (b *builder) compile(root *node, s *reflected.Schema) (*payload, error) {
	top := *s
	top.Version = reflected.Version
	for _, d := range b.defs {
		if top.Definitions == nil {
			top.Definitions = reflected.Definitions{}
		}
		top.Definitions[d.name] = d.schema
	}
	text, err := json.Marshal(&top)
	if err != nil {
		return nil, fmt.Errorf("write JSON Schema: %w", err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read JSON Schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.AssertContent()
	c.UseLoader(jsonschema.SchemeURLLoader{}) // nothing is fetched
	if err := c.AddResource(location, doc); err != nil {
		return nil, fmt.Errorf("add JSON Schema: %w", err)
	}
	compiled, err := c.Compile(location)
	if err != nil {
		return nil, fmt.Errorf("compile JSON Schema; check the jsonschema tags: %w", err)
	}
	root.attach(compiled)
	defs := slices.SortedFunc(maps.Values(b.defs), func(x, y *definition) int { return strings.Compare(x.name, y.name) })
	for _, d := range defs {
		sub, err := c.Compile(location + "#/$defs/" + d.name)
		if err != nil {
			return nil, fmt.Errorf("compile definition %s: %w", d.name, err)
		}
		d.node.attach(sub)
	}
	for _, f := range b.filled {
		if err := f.resolve(); err != nil {
			return nil, err
		}
	}
	return &payload{root: root, json: text}, nil
}

// attach gives n and the nodes in it what they have to check: s without what it says about the parts of its
// value, which are nodes themselves.
func (n *node) attach(s *jsonschema.Schema) {
	if n.unchecked || n.shape == none || n.shape == ref {
		return
	}
	if n.wrapped {
		s = s.AnyOf[0]
	}
	local := *s
	switch n.shape {
	case object:
		for _, f := range n.fields {
			f.node.attach(s.Properties[f.name])
		}
		local.Properties = nil
	case list:
		n.elem.attach(s.Items2020)
		local.Items2020 = nil
	case dict:
		if values, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
			n.elem.attach(values)
		}
		n.keys = s.PropertyNames
		local.AdditionalProperties, local.PropertyNames = nil, nil
	case free:
		n.deep = true
	default:
	}
	n.deep = n.deep || s.UniqueItems
	n.local = &local
}
