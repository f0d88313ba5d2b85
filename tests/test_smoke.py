from tests.support.conversation import Conversation
from pipecat_responses import OpenAIResponsesLLMService

async def test_smoke(sandbox):
    llm = OpenAIResponsesLLMService(api_key="x", base_url=sandbox.base_url)
    async with Conversation(llm) as talk:
        for i in range(12):
            print(await talk.say(f"hello {i}"))
    assert llm.stats.incremental == 11
    assert not talk.errors

async def test_interrupt(sandbox):
    sandbox.config.tokens_per_second = 50
    llm = OpenAIResponsesLLMService(api_key="x", base_url=sandbox.base_url)
    async with Conversation(llm) as talk:
        for i in range(4):
            await talk.start("count to 60")
            await talk.text_arrives(2)
            await talk.interrupt()
            await talk.settle()
        sandbox.config.tokens_per_second = None
        print(await talk.say("hi"))
        print(talk.context.messages)
    print(llm.stats)
    assert llm.stats.incremental == 4
    assert not talk.errors
