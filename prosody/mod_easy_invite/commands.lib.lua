-- Users run the daemon's commands on the server's own address, and the server's administrator makes
-- invites with prosodyctl (docs/gate.md, `relay` and `generate`).

local jid = require "util.jid";
local st = require "util.stanza";

local xmlns_commands = "http://jabber.org/protocol/commands";
local xmlns_items = "http://jabber.org/protocol/disco#items";
local list_timeout = 2; -- seconds: after that, clients get the list without the daemon's commands
local max_relayed = 8; -- open requests of one session
local host = module.host;

local function is_daemons_node(node)
	return node and (node == "xmpp:prosody.im/mod_invites_adhoc#password-reset"
		or node:find("urn:xmpp:invite#", 1, true) == 1 or node:find("urn:easy-invite:command:", 1, true) == 1);
end

local function is_our_user(event)
	return event.origin.type == "c2s" and jid.host(event.stanza.attr.from) == host;
end

return function (gate)
	local too_many = gate.error("wait", "resource-constraint", "Please wait for the answers to what you have asked");
	local relayed = setmetatable({}, { __mode = "k" }); -- [session] = how many of its requests are open

	-- Unlike a registration, this does not wait in a coroutine: after such a wait, Prosody may
	-- leave what the stream has sent meanwhile unread until more comes in.
	local function relay(event, kind, seconds, on_answer)
		local origin, stanza = event.origin, event.stanza;
		local open = relayed[origin] or 0;
		if open >= max_relayed then
			origin.send(st.error_reply(stanza, too_many));
			return true;
		end
		relayed[origin] = open + 1;
		local question = gate.element("relay", {}):add_child(stanza.tags[1]);
		question.attr.from, question.attr.lang = stanza.attr.from, stanza.attr["xml:lang"]; -- unchecked, as in gate.ask
		gate.ask(kind, question, function (answer)
			relayed[origin] = relayed[origin] - 1;
			if not origin.destroyed then on_answer(answer); end -- Prosody would log what it cannot send, links and all
		end, seconds);
		return true;
	end

	local function pass_on(kind, name, xmlns, priority, seconds)
		module:hook("iq-"..kind.."/host/"..xmlns..":"..name, function (event)
			local origin, stanza = event.origin, event.stanza;
			if not is_daemons_node(stanza.tags[1].attr.node) then return; end
			if not is_our_user(event) then
				origin.send(st.error_reply(stanza, "auth", "forbidden", "This command is for users of "..host));
				return true;
			end
			return relay(event, kind, seconds, function (answer)
				origin.send(gate.reply_to(stanza, answer, name, xmlns));
			end);
		end, priority);
	end

	pass_on("set", "command", xmlns_commands, 600); -- before mod_adhoc
	pass_on("get", "query", "http://jabber.org/protocol/disco#info", 10, list_timeout); -- before mod_disco

	-- The list of commands: this asks the daemon first. Then mod_disco answers, and fires
	-- host-disco-items-node for items to add.
	local listed = setmetatable({}, { __mode = "k" }); -- [stanza] = the daemon's answer
	local list_event = "iq-get/host/"..xmlns_items..":query";
	module:hook(list_event, function (event)
		local stanza = event.stanza;
		if listed[stanza] or stanza.tags[1].attr.node ~= xmlns_commands or not is_our_user(event) then return; end
		return relay(event, "get", list_timeout, function (answer)
			listed[stanza] = answer;
			module:fire_event(list_event, event);
		end);
	end, 10); -- before mod_disco

	module:hook("host-disco-items-node", function (event)
		local answer = listed[event.stanza];
		if not answer or not gate.attr_of(answer, "query", xmlns_items) then return; end
		for item in answer.payload:childtags("item") do
			if is_daemons_node(item.attr.node) then
				event.reply:tag("item", { jid = host, node = item.attr.node, name = item.attr.name }):up();
			end
		end
	end, -1); -- after mod_adhoc

	-- From prosodyctl, through the admin socket. The link is a text and no attribute, since Prosody
	-- logs the attributes of stanzas on that socket.
	module:hook_global("admin/urn:easy-invite:gate:1:generate", function (event)
		local origin, question = event.origin, gate.element("generate", {});
		if event.stanza.attr.host ~= host then return; end
		for word in event.stanza:childtags("word") do question:add_child(word); end
		gate.ask("set", question, function (answer)
			local link, refusal = gate.attr_of(answer, "generated"), answer.refusal;
			local text = link and (link["landing-url"] or link.uri)
				or refusal and (refusal.text or gate.component.." says "..refusal.condition)
				or answer.is_unsent and gate.component.." is not connected: does easy-invite run?"
				or answer.stanza and gate.component.." answers in an unknown way: is mod_easy_invite of its version?"
				or gate.component.." did not answer in time: easy-invite's log may say why";
			local code = refusal and refusal.condition == "bad-request" and "2" or "1";
			if origin.conn then origin.send(gate.element(link and "link" or "refused", { code = code }):text(text)); end
		end);
		return true;
	end);
end;
