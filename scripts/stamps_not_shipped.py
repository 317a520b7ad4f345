"""Stamps that stay out of the quickstart whatever their hash says, with the reason.

Debian's copyright file puts the whole package under the GPL. The package's own changelog is more
careful: it names some pictures that came from elsewhere under other terms. Those are left out, as
are pictures that would be unfair as a pair because the description names nothing that is seen.
"""

from __future__ import annotations

CC_BY_SA = "the changelog says Creative Commons BY-SA"
CC_BY = "the changelog says Creative Commons BY"
GFDL = "the changelog says GNU Free Documentation License"
WIKIPEDIA = "the changelog says from Wikipedia, without the terms"
STOCK = "the changelog names a stock photograph site"
NAMES_NOTHING = "the description does not name what is seen"
FAINT = "nearly invisible on white"

NOT_SHIPPED = {
    "animals/birds/helmeted_guineafowl.png": GFDL,
    "animals/birds/heron_greatblue.png": CC_BY_SA,
    "animals/birds/heron_greatblue_flying.png": CC_BY_SA,
    "animals/birds/pelican.png": CC_BY_SA,
    "animals/fish/bluegroper.png": NAMES_NOTHING,
    "animals/fish/shrimp.png": FAINT,
    "animals/insects/Brown_slug.png": GFDL,
    "animals/insects/Woodlouse.png": GFDL,
    "animals/insects/cartoon/wings.png": NAMES_NOTHING,
    "food/fruit/Apricot_whole.png": GFDL,
    "food/fruit/Cherry_Stella.png": GFDL,
    "food/fruit/Strawberry2.png": GFDL,
    "food/fruit/apricot.png": WIKIPEDIA,
    "food/fruit/grapes.png": STOCK,
    "food/fruit/pineapple.png": STOCK,
    "food/fruit/sliced_lime.png": STOCK,
    "food/fruit/sliced_orange.png": STOCK,
    "hobbies/music/brass/trumpet.png": WIKIPEDIA,
    "hobbies/music/percussion/cymbal_crash.png": WIKIPEDIA,
    "hobbies/music/percussion/drum_tomtom_floor.png": WIKIPEDIA,
    "hobbies/music/percussion/drumkit.png": WIKIPEDIA,
    "hobbies/music/string/cello.png": WIKIPEDIA,
    "hobbies/music/string/guitar2.png": WIKIPEDIA,
    "hobbies/music/string/guitar_classical.png": WIKIPEDIA,
    "hobbies/music/string/guitar_electric.png": WIKIPEDIA,
    "hobbies/music/string/guitar_electric_bass.png": WIKIPEDIA,
    "hobbies/music/string/violin.png": WIKIPEDIA,
    "hobbies/music/wind/bassoon.png": WIKIPEDIA,
    "household/Lightbulb.png": GFDL,
    "household/dishes/glass.png": FAINT,
    "household/toilet.png": NAMES_NOTHING,
    "military/final-roll-call.png": "a soldier's grave",
    "military/vehicles/ww2_german_gun.png": NAMES_NOTHING,
    "naturalforces/explosion.png": NAMES_NOTHING,
    "naturalforces/fire.png": FAINT,
    "naturalforces/lightningbolt.png": FAINT,
    "people/toys/grannysmith.png": NAMES_NOTHING,
    "plants/flowers/adeenia.png": CC_BY_SA,
    "plants/flowers/anthoorium.png": CC_BY_SA,
    "plants/flowers/appooppanthady.png": CC_BY_SA,
    "plants/flowers/bolsom.png": CC_BY_SA,
    "plants/flowers/chemparathi.png": CC_BY_SA,
    "plants/flowers/plastic/chuvanna_plastic_poo.png": CC_BY_SA,
    "plants/mushrooms/cep-2.png": NAMES_NOTHING,
    "plants/trees/rambutan.png": NAMES_NOTHING,
    "seasonal/christmas/Christmas_pudding.png": GFDL,
    "seasonal/christmas/German_Christmas_toy.png": CC_BY_SA,
    "seasonal/christmas/Mince_Pie.png": CC_BY,
    "seasonal/christmas/Roast_turkey.png": CC_BY,
    "seasonal/newyears/fireworks.png": FAINT,
    "seasonal/newyears/fireworks2.png": FAINT,
    "space/planets/0_sun.png": FAINT,
    "sports/australian_rules_football.png": WIKIPEDIA,
    "sports/basketball.png": WIKIPEDIA,
    "sports/cricketball.png": WIKIPEDIA,
    "sports/tennis_ball.png": WIKIPEDIA,
    "sports/tennis_racket.png": WIKIPEDIA,
    "town/monuments/inukshuk-photo.png": CC_BY_SA,
    "town/roadsigns/traffic_cone.png": WIKIPEDIA,
    "vehicles/emergency/firetruck.png": CC_BY,
    "vehicles/emergency/sedan_police.png": "an overlay for another stamp",
    "vehicles/ship/cartoon/bathyscape.png": NAMES_NOTHING,
}
