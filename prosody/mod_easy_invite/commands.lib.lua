-- Users run the daemon's commands on the server's own address (docs/gate.md, "relay"), and the server's administrator
-- makes invites with prosodyctl ("generate").

local jid = require "util.jid";
local st = require "util.stanza";

local xmlns_commands = "http://jabber.org/protocol/commands";
local xmlns_info = "http://jabber.org/protocol/disco#info";
local xmlns_items = "http://jabber.org/protocol/disco#items";

local list_within = 2; -- seconds: a list without the daemon's commands is better than a late one
local most_relayed = 8; -- open questions of one session

local host = module.host;

local function is_daemons_node(node)
	return node == "xmpp:prosody.im/mod_invites_adhoc#password-reset"
		or node and (node:find("urn:xmpp:invite#", 1, true) == 1 or node:find("urn:easy-invite:command:", 1, true) == 1);
end

local function is_our_user(event)
	return event.origin.type == "c2s" and jid.host(event.stanza.attr.from) == host;
end

return function (gate, accounts)
	local open_questions = setmetatable({}, { __mode = "k" }); -- [session] = how many

	-- Users do not wait in a coroutine, as registrations do: after such a wait Prosody may not read on from the stream
	-- until more comes in.
	local function relay(event, kind, seconds, take)
		local origin, stanza = event.origin, event.stanza;
		if (open_questions[origin] or 0) >= most_relayed then
			origin.send(st.error_reply(stanza, "wait", "resource-constraint",
				"Please wait for the answers to what you have asked"));
			return;
		end
		open_questions[origin] = (open_questions[origin] or 0) + 1;
		local question = st.stanza("relay", { xmlns = gate.xmlns, from = stanza.attr.from, lang = stanza.attr["xml:lang"];
			admin = accounts.is_admin(event) and "true" or "false" }):add_child(st.clone(stanza.tags[1]));
		gate.ask(kind, question, function (answer)
			open_questions[origin] = open_questions[origin] - 1;
			if not origin.destroyed then take(answer); end -- Prosody would log what it cannot send, links and all
		end, seconds);
	end

	module:hook("iq-set/host/"..xmlns_commands..":command", function (event)
		local origin, stanza = event.origin, event.stanza;
		if not is_daemons_node(stanza.tags[1].attr.node) then
			return;
		elseif not is_our_user(event) then
			origin.send(st.error_reply(stanza, "auth", "forbidden", "This command is for users of "..host));
			return true;
		end
		relay(event, "set", nil, function (answer)
			if gate.says(answer, "command", xmlns_commands) then
				origin.send(st.reply(stanza):add_child(answer.payload));
			else
				origin.send(gate.error_reply(stanza, answer));
			end
		end);
		return true;
	end, 600); -- before mod_adhoc

	-- Discovery: the daemon is asked first; then mod_disco answers, and asks for what there is to add.
	local discovered = setmetatable({}, { __mode = "k" }); -- [stanza] = the daemon's answer

	local function discover(xmlns, is_for_daemon)
		local name = "iq-get/host/"..xmlns..":query";
		module:hook(name, function (event)
			if discovered[event.stanza] or not is_for_daemon(event.stanza.tags[1].attr.node) or not is_our_user(event) then
				return;
			end
			relay(event, "get", list_within, function (answer)
				discovered[event.stanza] = answer;
				module:fire_event(name, event);
			end);
			return true;
		end, 10); -- before mod_disco
	end

	discover(xmlns_items, function (node) return node == xmlns_commands; end);
	discover(xmlns_info, is_daemons_node);

	module:hook("host-disco-items-node", function (event)
		local answer = discovered[event.stanza];
		if answer and gate.says(answer, "query", xmlns_items) then
			for item in answer.payload:childtags("item") do
				if is_daemons_node(item.attr.node) then
					event.reply:tag("item", { jid = host, node = item.attr.node, name = item.attr.name }):up();
				end
			end
		end
	end, -1); -- after mod_adhoc

	module:hook("host-disco-info-node", function (event)
		local answer = discovered[event.stanza];
		if not answer then
			return;
		elseif not gate.says(answer, "query", xmlns_info) then
			event.origin.send(gate.error_reply(event.stanza, answer));
			return true;
		end
		for _, child in ipairs(answer.payload.tags) do
			event.reply:add_child(child);
		end
		event.exists = true;
	end);

	-- From prosodyctl, through the admin socket. Prosody logs the attributes of what goes there, so the link is a text.
	module:hook_global("admin/"..gate.xmlns..":generate", function (event)
		local origin, question = event.origin, st.clone(event.stanza);
		if question.attr.host ~= host then
			return;
		end
		question.attr.host = nil;
		gate.ask("set", question, function (answer)
			local refusal = answer.refusal;
			local name, text = "refused", gate.component.." is not connected or does not answer: does easy-invite run?";
			if gate.says(answer, "generated") then
				name, text = "link", answer.payload.attr["landing-url"] or answer.payload.attr.uri;
			elseif refusal then
				text = refusal.text or gate.component.." says "..refusal.condition;
			end
			if origin.conn then origin.send(st.stanza(name, { xmlns = gate.xmlns }):text(text)); end
		end);
		return true;
	end);
end;
