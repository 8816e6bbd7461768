"""Word tables behind the generated text: what exists in its small world and what goes with what."""


def rows(table: str) -> list[tuple[str, ...]]:
    """Split a table with one row per line and ` | ` between its columns."""
    return [tuple(cell.strip() for cell in line.split("|")) for line in table.strip().splitlines()]


NAMES = """
Ada Adam Aisha Alan Alice Amir Amy Ana Anna Arthur Ben Bella Bruno Carla Carlos Cora Dan Dara David Diego Dina Ed
Elena Eli Ella Emma Erik Eva Farah Felix Finn Flora Fran Fred George Grace Greta Hana Hannah Harry Hugo Ida Ian
Ines Iris Isaac Ivan Ivy Jack Jan Jana Jim Joan Joe Jonas Julia Kai Kate Kofi Lara Lea Leo Lena Liam Lily Lin Lucy
Luis Mara Maria Mark Martha Max Maya Mei Mia Mina Nadia Nina Noah Nora Olga Oliver Omar Oscar Otto Paul Petra Pia
Priya Ravi Rita Robin Rosa Ruth Sam Sara Sofia Stefan Tara Theo Tina Tom Uma Vera Victor Walter Wendy Yara Yusuf
Zara Zoe
""".split()

# name | kind | home | food | what it does
ANIMALS = rows("""
heron | bird | rivers | fish | stands very still in the water
owl | bird | forests | mice | hunts at night without a sound
sparrow | bird | towns | seeds | sings from the roof in the morning
eagle | bird | mountains | rabbits | flies high and sees very far
duck | bird | ponds | plants | swims with its young behind it
penguin | bird | cold coasts | fish | cannot fly but swims well
crow | bird | fields | grain | can remember a face for years
swan | bird | lakes | water plants | builds a large nest of reeds
robin | bird | gardens | worms | sings even in winter
cat | pet | houses | meat | sleeps for most of the day
dog | pet | houses | meat | guards the door and likes to play
rabbit | small animal | fields | grass | runs fast and hides in a hole
mouse | small animal | barns | grain | makes a soft nest of straw
hedgehog | small animal | gardens | insects | rolls into a ball when it is afraid
squirrel | small animal | trees | nuts | hides food for the winter
bat | small animal | caves | insects | finds its way by sound
fox | wild animal | woods | mice | has a red coat and a long tail
wolf | wild animal | forests | deer | lives and hunts in a group
bear | wild animal | mountains | berries and fish | sleeps through the cold months
deer | wild animal | woods | leaves | can jump over a high fence
lion | wild animal | dry plains | meat | rests in the shade at noon
tiger | wild animal | jungles | meat | has dark stripes on its coat
elephant | large animal | warm plains | grass and leaves | drinks with its long trunk
giraffe | large animal | warm plains | leaves | reaches the tops of trees
camel | large animal | deserts | dry plants | can walk for days without water
horse | farm animal | stables | hay | pulls carts and carries riders
cow | farm animal | farms | grass | gives milk every day
sheep | farm animal | hills | grass | gives wool in the spring
goat | farm animal | hills | leaves | climbs on steep rocks
pig | farm animal | farms | roots and corn | is cleverer than it looks
hen | farm animal | farms | seeds | lays an egg almost every day
donkey | farm animal | farms | hay | carries heavy bags up the hill
bee | insect | hives | nectar | makes honey and visits flowers
ant | insect | the ground | crumbs | carries more than its own weight
butterfly | insect | meadows | nectar | was once a small caterpillar
spider | small creature | corners | flies | spins a thin strong web
frog | small creature | ponds | insects | begins its life as a tadpole
snake | reptile | warm stones | mice | sheds its old skin
turtle | reptile | slow rivers | plants | carries its house on its back
lizard | reptile | dry walls | insects | warms itself in the sun
salmon | fish | cold rivers | small fish | swims up the river to lay its eggs
shark | fish | the sea | fish | never stops swimming
trout | fish | clear streams | insects | hides under the stones
whale | sea animal | the ocean | tiny shrimps | comes up to breathe air
dolphin | sea animal | the ocean | fish | talks with clicks and whistles
seal | sea animal | cold coasts | fish | lies on the rocks to get warm
crab | sea animal | beaches | small shells | walks sideways on the sand
""")

# name | kind | material | use | where it is kept
THINGS = rows("""
kettle | kitchen tool | steel | boil water | on the stove
pan | kitchen tool | iron | fry eggs | on a hook
spoon | kitchen tool | wood | stir the soup | in the drawer
knife | kitchen tool | steel | cut bread | in the drawer
bowl | kitchen tool | clay | mix flour and eggs | on the shelf
mug | kitchen tool | clay | drink hot tea | in the cupboard
teapot | kitchen tool | china | make tea for guests | on the table
toaster | kitchen machine | metal | make toast | beside the bread
blender | kitchen machine | glass and plastic | make juice | on the counter
coffee maker | kitchen machine | plastic | make coffee | on the counter
oven | kitchen machine | metal | bake a cake | in the kitchen
fridge | kitchen machine | metal | keep food cold | in the kitchen
lamp | light | brass | read at night | on the desk
lantern | light | glass | see the path in the dark | by the door
candle | light | wax | light the room | on the table
torch | light | plastic | look into dark corners | in the bag
chair | furniture | oak | sit at the table | in the dining room
table | furniture | oak | eat dinner together | in the dining room
desk | furniture | pine | write letters | by the window
bed | furniture | pine | sleep at night | in the bedroom
shelf | furniture | wood | hold books | on the wall
sofa | furniture | cloth | rest after work | in the living room
mirror | household thing | glass | see your face | in the hall
clock | household thing | metal | tell the time | on the wall
blanket | household thing | wool | stay warm | on the bed
pillow | household thing | feathers | rest your head | on the bed
towel | household thing | cotton | dry your hands | in the bathroom
basket | household thing | straw | carry fruit | by the door
bucket | household thing | tin | carry water | in the shed
broom | household thing | wood and straw | sweep the floor | behind the door
curtain | household thing | linen | keep out the light | at the window
rug | household thing | wool | keep the floor warm | in the hall
heater | household machine | metal | warm a cold room | under the window
fan | household machine | plastic | cool a hot room | on the table
vacuum | household machine | plastic | clean the carpet | in the cupboard
radio | machine | plastic | hear the news | on the shelf
phone | machine | glass | call a friend | in the pocket
camera | machine | metal and glass | take pictures | in the bag
printer | machine | plastic | print a page | on the desk
keyboard | machine | plastic | type a letter | on the desk
speaker | machine | plastic | play music | on the shelf
watch | machine | steel | tell the time | on the wrist
tablet | machine | glass | watch a film | on the sofa
charger | machine | plastic | fill a battery | by the bed
hammer | tool | steel and wood | hit a nail | in the tool box
saw | tool | steel | cut a board | in the tool box
drill | tool | steel | make a hole | in the shed
ladder | tool | wood | reach the roof | in the shed
spade | garden tool | iron | dig the garden | in the shed
rake | garden tool | iron | gather the leaves | in the shed
hose | garden tool | rubber | water the plants | behind the house
tent | travel thing | strong cloth | sleep outside | in the attic
backpack | travel thing | strong cloth | carry your things | on your back
suitcase | travel thing | leather | pack clothes | under the bed
umbrella | travel thing | cloth | stay dry in the rain | by the door
map | travel thing | paper | find the way | in the car
bottle | travel thing | glass | carry water | in the bag
bicycle | vehicle | steel | ride to work | in the yard
boat | vehicle | wood | cross the lake | at the pier
cart | vehicle | wood | move heavy loads | in the barn
train | vehicle | steel | travel between cities | at the station
coat | piece of clothing | wool | keep out the wind | on a hook
jacket | piece of clothing | cloth | go out on a cool day | on a hook
scarf | piece of clothing | wool | keep the neck warm | in the hall
hat | piece of clothing | felt | keep off the sun | on a hook
shirt | piece of clothing | cotton | wear to work | in the wardrobe
glove | piece of clothing | leather | keep a hand warm | in the pocket
boot | piece of clothing | leather | walk in the mud | by the door
shoe | piece of clothing | leather | walk in the street | by the door
pen | writing thing | plastic | sign a form | on the desk
pencil | writing thing | wood | draw a picture | in the case
notebook | writing thing | paper | keep a list | in the bag
brush | painting thing | hair and wood | paint a wall | in a jar
drum | instrument | wood and skin | keep the beat | in the corner
guitar | instrument | wood | play songs | on the wall
piano | instrument | wood and wire | play a tune | in the big room
violin | instrument | wood | play in the orchestra | in its case
ball | toy | rubber | play in the park | in the yard
kite | toy | paper and string | fly in the wind | in the cupboard
puzzle | toy | card | pass a rainy day | on the floor
doll | toy | cloth | play at home | in the box
""")

# name | kind | taste | colour
FOODS = rows("""
apple | fruit | sweet | red
pear | fruit | sweet | green
plum | fruit | sour | purple
lemon | fruit | sour | yellow
orange | fruit | sweet | orange
banana | fruit | soft and sweet | yellow
cherry | fruit | sweet | dark red
grape | fruit | juicy | purple
strawberry | fruit | sweet | red
peach | fruit | juicy | pink
carrot | vegetable | crisp | orange
potato | vegetable | plain | brown
onion | vegetable | sharp | white
tomato | vegetable | fresh | red
cabbage | vegetable | plain | green
pumpkin | vegetable | mild | orange
bean | vegetable | mild | green
mushroom | vegetable | earthy | brown
bread | baked food | warm | brown
cake | baked food | sweet | golden
biscuit | baked food | crisp | golden
pie | baked food | rich | golden
soup | dish | warm | brown
salad | dish | fresh | green
stew | dish | rich | brown
rice | grain | plain | white
pasta | dish | plain | yellow
cheese | food from milk | salty | yellow
butter | food from milk | soft | yellow
yogurt | food from milk | sour | white
honey | spread | very sweet | golden
jam | spread | sweet | red
chocolate | sweet | rich | dark brown
tea | drink | a little bitter | brown
coffee | drink | bitter | black
milk | drink | mild | white
juice | drink | sweet | orange
egg | food | mild | white
fish | food | salty | silver
nut | snack | dry | brown
""")

# place | what people do there
PLACES = rows("""
library | read books
bakery | buy fresh bread
market | buy fruit and vegetables
school | learn to read and write
hospital | get better when they are ill
station | wait for the train
museum | look at old things
theatre | watch a play
cinema | watch a film
park | walk under the trees
beach | swim in the sea
garden | grow flowers
farm | keep animals
factory | make machines
office | work at a desk
bank | keep their money
post office | send letters and parcels
harbour | load the ships
airport | board a plane
hotel | sleep when they travel
restaurant | eat dinner
café | drink coffee with friends
gym | exercise
stadium | watch a match
church | pray and sing
castle | see how kings lived
zoo | look at animals
workshop | repair broken things
kitchen | cook the meals
village hall | meet and dance
playground | run and climb
pharmacy | buy medicine
bookshop | choose a book
laboratory | test new ideas
lighthouse | warn the ships
mill | grind the grain
forest | gather mushrooms
mountain hut | rest on a long walk
swimming pool | learn to swim
shop | buy what they need
""")

# job | what the person does | where | with what
JOBS = rows("""
baker | bakes bread before sunrise | bakery | oven
teacher | explains hard things with patience | school | chalk
doctor | helps people who are ill | hospital | medicine
nurse | looks after patients day and night | hospital | bandage
farmer | grows corn and keeps cows | farm | tractor
fisherman | catches fish at dawn | harbour | net
carpenter | makes chairs and tables | workshop | saw
tailor | sews coats and dresses | shop | needle
painter | paints pictures of the sea | studio | brush
gardener | plants trees and cuts the grass | garden | spade
driver | drives the bus through the town | station | wheel
pilot | flies planes over the ocean | airport | map
sailor | sails from port to port | harbour | rope
clerk | answers letters and files papers | office | pen
cook | prepares soup for many people | kitchen | pan
waiter | brings the food to the table | restaurant | tray
librarian | knows where each book stands | library | list
scientist | tests an idea many times | laboratory | microscope
engineer | plans bridges and roads | office | ruler
builder | builds houses of brick and stone | building site | hammer
mechanic | repairs cars and engines | garage | wrench
postman | brings letters to every door | post office | bag
musician | plays the violin in the evening | theatre | violin
writer | writes stories about small towns | study | notebook
judge | decides who is right | court | book of laws
police officer | keeps the streets safe | police station | radio
firefighter | puts out fires | fire station | hose
potter | shapes bowls from wet clay | workshop | wheel
shepherd | watches the sheep on the hill | hills | stick
clockmaker | mends old clocks | workshop | tiny screwdriver
programmer | writes code for a computer | office | keyboard
dentist | looks after teeth | clinic | small mirror
lawyer | explains the law | office | file
shopkeeper | sells useful things | shop | till
beekeeper | collects honey in summer | orchard | smoker
weaver | makes cloth from wool | workshop | loom
""")

CAPITALS = rows("""
France | Paris
Spain | Madrid
Italy | Rome
Germany | Berlin
Norway | Oslo
Sweden | Stockholm
Finland | Helsinki
Denmark | Copenhagen
Portugal | Lisbon
Greece | Athens
Poland | Warsaw
Austria | Vienna
Hungary | Budapest
Ireland | Dublin
England | London
Scotland | Edinburgh
Japan | Tokyo
China | Beijing
India | New Delhi
Egypt | Cairo
Kenya | Nairobi
Ghana | Accra
Canada | Ottawa
Mexico | Mexico City
Peru | Lima
Chile | Santiago
Brazil | Brasília
Australia | Canberra
Turkey | Ankara
Iceland | Reykjavik
""")

OPPOSITES = rows("""
hot | cold
big | small
tall | short
fast | slow
old | new
early | late
light | dark
heavy | light
wet | dry
clean | dirty
full | empty
open | closed
hard | soft
rich | poor
loud | quiet
strong | weak
happy | sad
easy | difficult
near | far
high | low
long | short
wide | narrow
thick | thin
deep | shallow
safe | dangerous
sweet | sour
young | old
right | wrong
true | false
first | last
cheap | expensive
smooth | rough
brave | afraid
polite | rude
simple | complex
ancient | modern
""")

SYNONYMS = rows("""
quick | fast
glad | happy
large | big
tiny | very small
angry | very cross
begin | start
finish | end
repair | mend
buy | pay for
shout | call loudly
gift | present
journey | trip
clever | smart
silent | quiet
choose | pick
answer | reply
ill | sick
huge | very large
jump | leap
difficult | hard
""")

ADJECTIVES = """
old new small big tall short long narrow wide bright dark quiet loud warm cold soft hard heavy light clean dusty
round square flat smooth rough simple plain pretty strange useful empty full broken strong weak fresh dry wet sweet
red blue green yellow white black brown grey purple pink golden silver wooden tiny huge gentle proud brave shy clever
careful lazy busy tired hungry happy sad angry calm curious honest kind patient polite quick slow wise young lonely
cheerful worried nervous famous ordinary secret lost hidden beautiful
""".split()

FEELINGS = rows("""
happy | the sun was shining
happy | a letter had come from home
sad | the holiday was over
sad | an old friend had moved away
tired | the day had been long
tired | the walk had taken all morning
angry | somebody had broken the window
worried | the road was covered with snow
worried | nobody had answered the phone
proud | the work was done at last
afraid | the forest was so dark
surprised | the box was empty
curious | there was a noise behind the door
calm | the sea was quiet
hungry | there had been no lunch
lonely | everybody else had gone home
excited | the fair was coming to town
grateful | a stranger had helped
bored | it had rained all week
nervous | the test would begin soon
""")

MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
).split()

WEATHER = rows("""
sunny | leave your coat at home
rainy | take an umbrella
windy | hold on to your hat
snowy | wear warm boots
foggy | drive slowly
stormy | stay inside
cloudy | take a light jacket
icy | walk with care
hot | drink plenty of water
cold | wear gloves and a scarf
""")

# task | steps
HOW_TO = [
    (task, steps.split(" ; "))
    for task, steps in rows("""
make tea | boil fresh water ; warm the pot ; add the tea leaves ; wait four minutes ; pour the tea into a mug
bake bread | mix flour, water, salt and yeast ; knead the dough ; let it rise for an hour ; shape the loaf ; bake it until it is brown
plant a tree | choose a sunny place ; dig a wide hole ; set the tree in the middle ; fill the hole with soil ; water it well
wash a car | rinse off the dust ; mix soap with warm water ; wipe the car from top to bottom ; rinse it again ; dry it with a soft cloth
write a letter | take a clean sheet of paper ; write the date at the top ; greet the reader ; say what you want to say ; sign your name
mend a sock | find thread of the same colour ; put the sock over a ball ; sew across the hole ; weave the thread back ; cut the end
clean a window | remove the dust ; mix a little soap with water ; wipe the glass ; dry it with paper ; check it in the light
make soup | cut the vegetables ; fry the onion in butter ; add water and salt ; let it cook slowly ; taste it before you serve it
pack a bag | make a list ; put heavy things at the bottom ; roll the clothes ; keep the papers on top ; close the bag
change a light bulb | turn off the power ; wait until the bulb is cool ; unscrew the old bulb ; screw in the new one ; turn on the power
ride a bicycle | check the tyres and brakes ; set the seat to the right height ; look ahead ; start to pedal ; keep a steady speed
cook rice | rinse the rice ; add twice as much water ; bring it to the boil ; lower the heat ; leave the lid on for twelve minutes
paint a wall | cover the floor ; clean the wall ; paint the edges first ; use a roller for the rest ; let it dry overnight
send a parcel | choose a strong box ; wrap the things in paper ; close the box with tape ; write the address clearly ; take it to the post office
learn a word | read it aloud ; write it down ; use it in a sentence ; repeat it the next day ; test yourself after a week
save money | write down what you spend ; set a goal ; put a little aside each week ; avoid things you do not need ; check your progress
sleep well | go to bed at the same time ; keep the room dark and cool ; put the phone away ; read a few pages ; breathe slowly
grow tomatoes | sow the seeds in spring ; keep them warm ; move the plants outside in May ; tie them to a stick ; water them in the evening
build a fire | clear the ground ; gather dry wood ; put small sticks in the middle ; light the paper ; add larger pieces slowly
feed a cat | wash the bowl ; measure the food ; put fresh water beside it ; call the cat ; clean up afterwards
study for a test | find a quiet place ; make a plan ; read one chapter at a time ; write short notes ; take a break each hour
restart a computer | save your work ; close the programs ; open the menu ; choose restart ; wait until the screen is back
set up a printer | unpack the printer ; plug in the cable ; fill the paper tray ; install the program ; print a test page
fix a flat tyre | take off the wheel ; find the hole ; clean the rubber ; put on a patch ; pump up the tyre
reset a password | open the sign in page ; choose the reset link ; read the message we send ; type a new password ; sign in again
return a parcel | find the order number ; pack the item in its box ; print the form ; put the form on the box ; hand it in at the post office
""")
]

# question | answer
FACTS = rows("""
What gives us light and heat? | The sun gives us light and heat.
What is the moon? | The moon is a ball of rock that moves around the earth.
Why does it rain? | Rain falls when drops of water in the clouds become too heavy.
What is ice? | Ice is water that has become solid because it is cold.
What is steam? | Steam is water that has become a gas because it is hot.
Why do leaves fall in autumn? | Trees drop their leaves in autumn to save water in the cold months.
Why is the sea salty? | Rivers carry salt from the rocks into the sea.
What do plants need? | Plants need light, water, air and good soil.
What is photosynthesis? | Photosynthesis is the way plants turn light, water and air into sugar and oxygen.
What is gravity? | Gravity is the force that pulls things towards each other and keeps us on the ground.
How many days are in a week? | There are seven days in a week.
How many months are in a year? | There are twelve months in a year.
How many hours are in a day? | There are 24 hours in a day.
How many minutes are in an hour? | There are 60 minutes in an hour.
What is a volcano? | A volcano is a mountain that can throw out hot melted rock.
What is an island? | An island is land with water all around it.
What is a desert? | A desert is a place where very little rain falls.
What is the largest ocean? | The Pacific is the largest ocean on earth.
What is the highest mountain? | Mount Everest is the highest mountain above the sea.
Why do we sleep? | We sleep so that the body can rest and the mind can sort the day.
What does the heart do? | The heart pumps blood through the body.
What do lungs do? | The lungs take oxygen from the air.
Why should we drink water? | The body needs water to stay cool and to carry food to its cells.
How can I stay healthy? | Eat a balanced diet, exercise often and get enough sleep.
What is a computer? | A computer is a machine that follows instructions and works with data.
What is the internet? | The internet is a network that joins computers all over the world.
What is a program? | A program is a list of instructions that a computer can follow.
What is a verb? | A verb is a word for an action, such as run or think.
What is a noun? | A noun is a word for a person, a place or a thing.
What is a sentence? | A sentence is a group of words that makes a complete thought.
What is a poem? | A poem is a text that uses rhythm and images to share a feeling.
What is a map for? | A map shows where places are and how to get there.
What is money for? | People use money to pay for things and to save for later.
What is a bridge for? | A bridge carries a road over a river or a valley.
Why do birds fly south? | Many birds fly south because there is more food in warm countries.
Why do bees visit flowers? | Bees visit flowers to gather nectar, and they carry pollen on the way.
Where does milk come from? | Most of the milk we drink comes from cows.
Where does paper come from? | Paper is made from the wood of trees.
Where does wool come from? | Wool comes from the coat of a sheep.
What is glass made of? | Glass is made of sand that was melted at a high temperature.
What is bread made of? | Bread is made of flour, water, salt and yeast.
What is electricity? | Electricity is the flow of tiny charges through a wire.
What is renewable energy? | Renewable energy comes from sources such as sun, wind and water that do not run out.
What is climate change? | Climate change is a long change in the weather of the earth, mostly caused by burning coal, oil and gas.
What causes the seasons? | The seasons come from the tilt of the earth as it moves around the sun.
What are the primary colours? | The primary colours are red, blue and yellow.
What is a planet? | A planet is a large body that moves around a star.
What is the closest star? | The sun is the closest star to the earth.
Who repairs cars? | A mechanic repairs cars.
What is democracy? | Democracy is a form of government in which the people vote.
What is a habit? | A habit is something we do often without thinking about it.
What is a refund? | A refund is money that a shop gives back to a customer.
What is an invoice? | An invoice is a paper that says what you bought and what you have to pay.
What is a warranty? | A warranty is a promise to repair or replace a thing that breaks too early.
What is a delivery? | A delivery is the moment when ordered goods reach the customer.
What is a parcel? | A parcel is a box or a bag that is sent by post.
What is billing about? | Billing is about payments, invoices and charges.
What is an account? | An account is the place where a shop keeps your name, address and orders.
What is a password? | A password is a secret word that proves who you are.
What does in stock mean? | In stock means that the shop has the item and can send it.
What is customer support? | Customer support is the team that answers questions and solves problems.
What is a label? | A label is a short word on a box or a page that says what it is about.
What is a summary? | A summary is a short text that gives only the main points.
What is technical support? | Technical support helps people when a machine or a program does not work.
""")

ADVICE = rows("""
stay calm | Take a slow breath, count to ten and think about one thing at a time.
make friends | Be kind, listen well and say hello first.
save time | Make a short plan in the morning and do the hardest thing first.
eat better | Eat more fruit and vegetables and less sugar.
be on time | Prepare your things the evening before and leave early.
write clearly | Use short sentences and simple words.
read more | Keep a book near your bed and read a few pages each night.
learn faster | Practise a little every day and test yourself often.
keep a room tidy | Put each thing back in its place after you use it.
save energy | Turn off the lights and lower the heat when you go out.
speak in public | Practise aloud, look at the people and speak slowly.
give a good gift | Think about what the person likes to do.
solve a problem | Write it down, split it into small parts and try the simplest part first.
work in a team | Share what you know and ask when you need help.
reduce waste | Repair things, use them again and buy less.
protect the environment | Use less water, walk more and plant trees.
sleep better | Go to bed at the same time and keep the room dark.
start a garden | Begin with a few easy plants and water them often.
""")

# what somebody wants | where they go | who helps | what happens
GOALS = rows("""
find the lost key | into the attic | an old neighbour | the key was inside a teapot
win the race | along the river | a patient coach | second place felt like a victory
learn to swim | down to the lake | a friendly sailor | the water was no longer frightening
bake a cake for the fair | to the mill | the baker | the whole village came for a piece
build a boat | to the harbour | a carpenter | the boat floated on the first day
see the snow | up the mountain | a shepherd | the first flakes fell at noon
mend the old clock | to the workshop | the clockmaker | the clock struck nine again
find the missing cat | across the fields | a small girl | the cat was asleep in a barn
buy a present | to the market | an honest shopkeeper | there was money left for tea
hear the sea | over the hills | a bus driver | the waves sang all night
grow the biggest pumpkin | behind the house | a clever gardener | three people had to carry it
write a song | under the oak tree | a musician | everybody hummed it for weeks
catch a fish | to the stream | a quiet fisherman | the fish was set free again
sell the old bicycle | to the town square | a student | both of them were pleased
find the way home | through the fog | a lantern bearer | there was soup on the table
save the bees | to the orchard | a beekeeper | the meadow was full of flowers by June
read every book | to the library | the librarian | the last book was the best
cross the river | to the old bridge | a builder | the path on the other side was worth it
make the king laugh | to the castle | a cook | the king laughed until he cried
light the lighthouse | along the coast | a fisherman | the ship came safely home
""")

# invented syllables make place and product names that no other text holds
STARTS = "Bra Cal Dor El Fen Gal Har Il Jor Kel Lor Mar Nor Or Pel Quil Ros Sel Tar Ul Vel Wen Yar Zan".split()
MIDDLES = "a e i o u an en in or ar el il".split()
ENDS = "bridge dale field ford ham haven mere mond more moor nia port ra rick ton vale ville wick wood worth".split()
