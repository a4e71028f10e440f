package schema_test

import (
	"encoding/json"
	"math/big"
	"net/netip"
	"reflect"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/perdure/perdure/actor"
)

type Action struct {
	Type   string `json:"type" jsonschema:"enum=increment,enum=decrement,enum=get"`
	Amount int    `json:"amount,omitzero" jsonschema:"default=1"`
}

type Line struct {
	SKU   string   `json:"sku" jsonschema:"minLength=1,maxLength=8,pattern=^[a-z]+$"`
	Count int      `json:"count,omitzero" jsonschema:"default=1,minimum=1,maximum=99"`
	Tags  []string `json:"tags,omitzero" jsonschema:"default=new,default=hot,uniqueItems=true"`
}

type Audit struct {
	By   string    `json:"by"`
	At   time.Time `json:"at,omitzero"`
	Note *string   `json:"note" jsonschema:"default=none"`
}

type Order struct {
	Audit
	*Shipping

	Lines   []Line             `json:"lines"`
	Named   map[string]Line    `json:"named,omitempty"`
	ByNum   map[int]Line       `json:"by_num,omitempty"`
	ByID    map[uint8]bool     `json:"by_id,omitempty"`
	Raw     json.RawMessage    `json:"raw,omitempty"`
	Any     any                `json:"any,omitempty"`
	Free    map[string]any     `json:"free,omitempty"`
	Blob    []byte             `json:"blob,omitempty"`
	Pair    [2]float64         `json:"pair,omitzero"`
	Quoted  int64              `json:"quoted,string,omitzero" jsonschema:"default=7"`
	Wait    time.Duration      `json:"wait,omitempty"`
	Addr    netip.Addr         `json:"addr,omitzero"`
	Big     *big.Int           `json:"big"`
	Num     json.Number        `json:"num,omitempty"`
	Nothing *actor.None        `json:"nothing"`
	Mail    string             `json:"mail,omitempty" jsonschema:"format=email"`
	Hosts   map[netip.Addr]int `json:"hosts,omitempty"`
	Skipped chan int           `json:"-"`
	Dash    int                `json:"-,omitempty"`
}

type Shipping struct {
	Street string `json:"street"`
	Inner  Line   `json:"inner"`
}

type Tree struct {
	Name     string          `json:"name,omitzero" jsonschema:"default=leaf"`
	Left     *Tree           `json:"left,omitempty" jsonschema:"description=the smaller ones"`
	Children []Tree          `json:"children,omitempty"`
	Index    map[string]Tree `json:"index,omitempty"`
}

type Strings []Strings

type Rating int

func (Rating) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: "1", Maximum: "5"}
}

type Rated struct {
	Stars Rating  `json:"stars"`
	Maybe *Rating `json:"maybe"`
	Tree  *Tree   `json:"tree" jsonschema:"default={}"`
	Line  Line    `json:"line,omitzero" jsonschema:"default={\"sku\":\"a\"\\,\"x\":1}"`
}

type Choice struct {
	Mail  *string `json:"mail,omitempty" jsonschema:"oneof_required=mail"`
	Phone *string `json:"phone,omitempty" jsonschema:"oneof_required=phone"`
	Kind  *string `json:"kind,omitempty" jsonschema:"enum=a,enum=b"`
	Level int     `json:"level" jsonschema:"nullable,maximum=3"`
}

func types() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[Action](), reflect.TypeFor[Order](), reflect.TypeFor[Tree](), reflect.TypeFor[Strings](),
		reflect.TypeFor[Rated](), reflect.TypeFor[Choice](), reflect.TypeFor[actor.None](), reflect.TypeFor[any](),
		reflect.TypeFor[*Line](), reflect.TypeFor[map[int64][]Line](), reflect.TypeFor[[]byte](), reflect.TypeFor[float64](),
		reflect.TypeFor[json.RawMessage](), reflect.TypeFor[string](), reflect.TypeFor[time.Time](), reflect.TypeFor[struct{}](),
	}
}
