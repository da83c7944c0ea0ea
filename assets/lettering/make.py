"""Draws jiefangbei.png from the Noto CJK fonts (Debian: fonts-noto-cjk, fonts-noto-cjk-extra; Pillow)."""
import sys
from PIL import Image, ImageDraw, ImageFont
serif='/usr/share/fonts/opentype/noto/NotoSerifCJK-Bold.ttc'
sans='/usr/share/fonts/opentype/noto/NotoSansCJK-Bold.ttc'
W=H=1024
im=Image.new('L',(W,H),0); d=ImageDraw.Draw(im)
# column 0: the inscription, 7 cells of 128
f=ImageFont.truetype(serif,118,index=3)  # TC
for i,c in enumerate('人民解放紀念碑'):
    d.text((64,64+128*i),c,font=f,fill=255,anchor='mm')
f=ImageFont.truetype(sans,84,index=2); # signs: cells of 448x102 in two columns from x=128
signs=['山城火锅','老街小面','茶 馆','书 店','百货大楼','电影院','珠宝金行','大药房','咖啡 COFFEE','江景酒店','新世纪广场','夜市美食','时装 FASHION','甜品站','数码城','民权路']
for i,s in enumerate(signs):
    x=128+448*(i%2); y=102*(i//2)
    f2=f; size=84
    while f2.getlength(s)>430: size-=4; f2=ImageFont.truetype(sans,size,index=2)
    d.text((x+224,y+51),s,font=f2,fill=255,anchor='mm')
# the line on the screen: 896x112 at y=832
d.text((128 + 448, 832 + 56),'雾都夜色 · 山城欢迎你',font=ImageFont.truetype(sans,80,index=2),fill=255,anchor='mm')
im=im.point(lambda v:(v>>4)*17)
im.save(sys.argv[1],optimize=True)
