package anthropic

import (
	"strings"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/packages/param"

	"github.com/perdure/perdure/examples/session/agent"
)

// params is a request as the API has it. What was asked before is cached: conversations only grow at their end.
func (m *Model) params(q agent.Request) sdk.MessageNewParams {
	p := sdk.MessageNewParams{
		Model: m.cfg.Model, MaxTokens: m.cfg.MaxTokens, CacheControl: sdk.NewCacheControlEphemeralParam(),
	}
	if q.Instructions != "" {
		p.System = []sdk.TextBlockParam{{Text: q.Instructions}}
	}
	for _, t := range q.Tools {
		p.Tools = append(p.Tools, sdk.ToolUnionParam{OfTool: &sdk.ToolParam{
			Name: t.Name, Description: sdk.String(t.Description),
			InputSchema: param.Override[sdk.ToolInputSchemaParam](t.Input),
		}})
	}
	if q.Last && len(q.Tools) > 0 {
		none := sdk.NewToolChoiceNoneParam()
		p.ToolChoice = sdk.ToolChoiceUnionParam{OfNone: &none}
	}
	for _, message := range q.Messages {
		if blocks := blocks(message); len(blocks) > 0 { // the API refuses empty messages
			p.Messages = append(p.Messages, sdk.MessageParam{Role: sdk.MessageParamRole(message.Role), Content: blocks})
		}
	}
	return p
}

func blocks(m agent.Message) []sdk.ContentBlockParamUnion {
	var bs []sdk.ContentBlockParamUnion
	for _, p := range m.Parts {
		switch {
		case strings.TrimSpace(p.Text) != "": // the API refuses blank ones
			bs = append(bs, sdk.NewTextBlock(p.Text))
		case p.Call != nil:
			bs = append(bs, sdk.NewToolUseBlock(p.Call.ID, p.Call.Input, p.Call.Tool))
		case p.Result != nil:
			bs = append(bs, sdk.NewToolResultBlock(p.Result.ID, p.Result.Content, p.Result.Failed))
		case p.Opaque != nil:
			bs = append(bs, param.Override[sdk.ContentBlockParamUnion](p.Opaque))
		}
	}
	if m.Interrupted {
		bs = append(bs, sdk.NewTextBlock("[interrupted by the user]"))
	}
	return bs
}
